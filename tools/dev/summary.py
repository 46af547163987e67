#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Adds up JUnit files: summary.py DIR ALLOWED_SKIPS EXTRA_FAILURES.
A skip counts as a failure unless a line of ALLOWED_SKIPS (pattern<TAB>reason) names the test."""
import fnmatch
import glob
import os
import sys
import xml.etree.ElementTree as ET


def main():
    folder, allowed_file, extra = sys.argv[1], sys.argv[2], int(sys.argv[3])
    allowed = []
    if os.path.exists(allowed_file):
        for line in open(allowed_file, encoding="utf-8"):
            if line.strip() and not line.startswith("#"):
                allowed.append(line.split("\t")[0].strip())
    passed, failed, skipped = 0, extra, 0
    files = sorted(glob.glob(os.path.join(folder, "*.xml")))
    if not files:
        failed += 1
        print("FAILED: no test results at all")
    again = {}
    for path in glob.glob(os.path.join(folder, "*.again")):
        for case in ET.parse(path).getroot().iter("testcase"):
            again[case.get("classname"), case.get("name")] = (
                case.find("failure") is None and case.find("error") is None and case.find("skipped") is None)
    for path in files:
        for case in ET.parse(path).getroot().iter("testcase"):
            name = f"{os.path.basename(path)[:-4]}:{case.get('classname')}.{case.get('name')}"
            if case.find("failure") is not None or case.find("error") is not None:
                if again.get((case.get("classname"), case.get("name"))):
                    passed += 1
                    print("passed at the second attempt", name)
                else:
                    failed += 1
                    print("FAILED ", name)
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                why = case.find("skipped")
                why = why.get("message") if why is not None else ""
                if any(fnmatch.fnmatch(name, a) for a in allowed):
                    skipped += 1
                    print("skipped", name, "-", why)
                else:
                    failed += 1
                    print("FAILED ", name, "- skipped, which is not expected here:", why)
            else:
                passed += 1
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}")
    return 1 if failed or not passed else 0


sys.exit(main())
