/* SPDX-License-Identifier: BSD-3-Clause */
/* What is made from the table of commands: completion for bash and the manual page. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "datapath/flow/action_text.h"
#include "datapath/flow/field.h"
#include "tools/ctl/command.h"
#include "tools/ctl/handlers.h"

static bool first_of_noun(const struct command *c)
{
	for (const struct command *o = commands; o < c; o++)
		if (!o->option && !strcmp(o->noun, c->noun))
			return false;
	return true;
}

/* Names of fields and actions, from their tables. */
static void complete_flow(void)
{
	for (unsigned id = 0; id < FIELD_N; id++)
		printf("%s %s ", fields[id].name, fields[id].alias ? fields[id].alias : "");
	for (size_t i = 0; action_text_name(i); i++)
		printf("%s ", action_text_name(i));
	fputs("table priority cookie idle_timeout hard_timeout importance actions ", stdout);
}

int cmd_completion(struct command_call *call)
{
	puts("# bash completion of sluice; made by: sluice completion\n"
	     "_sluice()\n{\n\tlocal words=\n\tcase \"${COMP_WORDS[*]:1:COMP_CWORD-1}\" "
	     "in\n\t'')\n\t\t"
	     "words='");
	for (const struct command *c = commands; c < commands + n_commands; c++)
		if (!c->option && first_of_noun(c))
			printf("%s ", c->noun);
	puts("';;");
	for (const struct command *c = commands; c < commands + n_commands; c++) {
		if (c->option || !first_of_noun(c) || !c->verb[0])
			continue;
		printf("\t'%s')\n\t\twords='", c->noun);
		for (const struct command *v = c; v < commands + n_commands; v++)
			if (!v->option && !strcmp(v->noun, c->noun))
				printf("%s ", v->verb);
		puts("';;");
	}
	for (const struct command *c = commands; c < commands + n_commands; c++) {
		if (c->option)
			continue;
		printf("\t'%s%s%s'*)\n\t\twords='", c->noun, c->verb[0] ? " " : "", c->verb);
		for (const struct command *o = c + 1; o < commands + n_commands && o->option; o++)
			printf("%s%s ", command_dashes(o), o->option);
		if (c->flags & COMMAND_FLOW)
			complete_flow();
		printf("%s';;\n", c->flags & COMMAND_JSON ? "--json" : "");
	}
	/* In "tcp,nw_src=…" the piece behind the last comma is completed. */
	puts("\tesac\n\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" lead=\n"
	     "\tcase \"$cur\" in *,*) lead=\"${cur%,*},\";; esac\n"
	     "\tCOMPREPLY=($(compgen -P \"$lead\" -W \"$words\" -- \"${cur##*,}\"))\n}\n"
	     "complete -o default -F _sluice sluice");
	return EXIT_OK;
}

/* Dashes are options to roff. */
static void roff(const char *text)
{
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
}

static void man_command(const struct command *c)
{
	printf(".TP\n.B sluice %s", c->noun);
	if (c->verb[0])
		printf(" %s", c->verb);
	if (c->args[0]) {
		fputs(" \\fI", stdout);
		roff(c->args);
		fputs("\\fR", stdout);
	}
	if (c->flags & COMMAND_JSON)
		fputs(" [\\-\\-json]", stdout);
	printf("\n%c", toupper((unsigned char)c->help[0]));
	roff(c->help + 1);
	puts(".");
	for (const struct command *o = c + 1; o < commands + n_commands && o->option; o++) {
		fputs(".RS\n.TP\n.B ", stdout);
		roff(command_dashes(o));
		roff(o->option);
		if (o->option_arg[0]) {
			fputs(" \\fI", stdout);
			roff(o->option_arg);
			fputs("\\fR", stdout);
		}
		putchar('\n');
		roff(o->help);
		fputs("\n.RE\n", stdout);
	}
}

int cmd_man(struct command_call *call)
{
	puts(".\\\" Made by: sluice man\n"
	     ".TH SLUICE 1 \"\" \"sluice " SLUICE_VERSION "\" \"Sluice\"\n"
	     ".SH NAME\nsluice \\- a software switch\n"
	     ".SH SYNOPSIS\n.B sluice\n[\\-\\-rundir DIR] [\\-\\-dbdir DIR] COMMAND [ARGUMENT]...\n"
	     ".SH DESCRIPTION\n"
	     "A noun alone shows. Every command that shows knows \\-\\-json.\n"
	     "Reads ask the datapath directly and work while sluiced is away; changes are\n"
	     "transactions on the database of sluiced.\n"
	     ".SH COMMANDS");
	for (const struct command *c = commands; c < commands + n_commands; c++)
		if (!c->option)
			man_command(c);
	puts(".SH EXIT STATUS\n0: done. 1: refused or failed; the reason is on standard error. 2: "
	     "wrong "
	     "usage.\n"
	     ".SH ENVIRONMENT\n.TP\n.B SLUICE_RUNDIR\nrun directory (/run/sluice)\n"
	     ".TP\n.B SLUICE_DBDIR\ndirectory of the database (/var/lib/sluice)");
	return EXIT_OK;
}
