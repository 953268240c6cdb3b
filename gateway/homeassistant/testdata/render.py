# Renders templates as Home Assistant does: a list of {"template", "payload", "value"} on
# standard input, a list of texts on standard output. In a template, value is the payload,
# or for a command what the user chose; value_json is the payload where it is JSON.
import json
import sys

import jinja2

environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
rendered = []
for case in json.load(sys.stdin):
    variables = {"value": case.get("value", case.get("payload"))}
    try:
        variables["value_json"] = json.loads(case["payload"])
    except (KeyError, TypeError, ValueError):
        pass
    rendered.append(environment.from_string(case["template"]).render(variables))
json.dump(rendered, sys.stdout)
