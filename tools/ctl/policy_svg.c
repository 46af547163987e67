/* SPDX-License-Identifier: BSD-3-Clause */
/* See policy_svg.h. Colours differ in lightness too; the full text of a cell is its tooltip. */
#include "tools/ctl/policy_svg.h"

#include <string.h>

enum { CELL = 26, LEFT = 170, TOP = 150 };

static void put_text(FILE *f, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*text, f);
		}
}

static const char *colour(const char *cell)
{
	if (!strcmp(cell, "."))
		return "#e8e8e8";
	if (!strcmp(cell, "-"))
		return "#8c2f39";
	return !strcmp(cell, "all") ? "#7bc47f" : "#f2d16b";
}

static void put_cell(FILE *f, const char *from, const char *to, const char *cell, size_t row,
		     size_t column)
{
	fprintf(f, "<rect x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" fill=\"%s\">",
		LEFT + column * CELL, TOP + row * CELL, CELL - 2, CELL - 2, colour(cell));
	fputs("<title>", f);
	put_text(f, from);
	fputs(" → ", f);
	put_text(f, to);
	fputs(": ", f);
	put_text(f, strcmp(cell, "-") ? cell : "nothing");
	fputs("</title></rect>\n", f);
}

void policy_svg_print(FILE *f, const char *const *names, char *const *cells, size_t n)
{
	size_t width = LEFT + n * CELL + 20, height = TOP + n * CELL + 40;
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%zu\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<title>who may open connections to whom</title>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
		width, height);
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">", LEFT - 8,
			TOP + i * CELL + 17);
		put_text(f, names[i]);
		fprintf(f, "</text>\n<text transform=\"translate(%zu %d) rotate(-60)\">",
			LEFT + i * CELL + 15, TOP - 8);
		put_text(f, names[i]);
		fputs("</text>\n", f);
		for (size_t j = 0; j < n; j++)
			put_cell(f, names[i], names[j], cells[i * n + j], i, j);
	}
	fprintf(f,
		"<text x=\"20\" y=\"%zu\">rows open connections to columns: green all, yellow some "
		"(see the tooltip), red nothing</text>\n</svg>\n",
		height - 14);
}
