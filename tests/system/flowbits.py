# SPDX-License-Identifier: BSD-3-Clause
"""Rules, groups and flows in the syntax of ovs-ofctl as the api's binary attributes, by flow-host.

    dp.transaction([rule("table=1,priority=5,ip,nw_dst=10.0.0.1 actions=output:2")])
"""
import os
import re
import subprocess

from datapath_process import BUILD

ADD = 0
_host = None


def ask_text(kind, text):
    """flow-host's answer."""
    global _host
    if _host is None:
        _host = subprocess.Popen([os.path.join(BUILD, "bin", "flow-host")], text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _host.stdin.write(f"{kind} {text}\n")
    _host.stdin.flush()
    answer = _host.stdout.readline().strip()
    assert not answer.startswith("error"), (text, answer)
    return answer


def ask(kind, text):
    return bytes.fromhex(ask_text(kind, text))


def match(text):
    return ask("match_bits", text)


def actions(text):
    return ask("action_bits", text)


def rule(text, bridge="br0", **more):
    """A rule_mod operation that adds it. Numbers only: ports have no names here."""
    fields, acts = re.match(r"(.*?)\s*actions=(.*)$", text).groups()
    attrs = dict(bridge=bridge, command=ADD, table=0, priority=32768, cookie=0)
    rest = []
    for f in filter(None, fields.split(",")):
        key, _, value = f.partition("=")
        if key in ("table", "priority", "cookie"):
            attrs[key] = int(value, 0)
        else:
            rest.append(f)
    if rest:
        attrs["match"] = match(",".join(rest))
    attrs["actions"] = actions(acts)
    attrs.update(more)
    return ("rule_mod", attrs)
