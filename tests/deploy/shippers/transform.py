"""Runs a shipper's own transform over lines, with the engine that the shipper itself has.

Called by the tests in an environment of its own: `transform.py vrl|lua|js SCRIPT… < lines`; of a
configuration in YAML it takes the program that stands in it. Each line in gives one line out: the
event, or `null` where the script drops it. VRL is Vector's own library; LuaJIT is what Fluent Bit
has; Duktape runs the ECMAScript 5.1 that Filebeat's goja does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Transform = Callable[[dict[str, Any]], "dict[str, Any] | None"]


def vrl(*scripts: str) -> Transform:
    """Return what runs programs of VRL one after the other, as chained `remap` transforms do."""
    from vrl_python import VRLRuntime

    sources = [_program(Path(script)) for script in scripts]
    for source in sources:
        diagnostic = VRLRuntime.check_syntax(source)
        if diagnostic is not None:
            raise SystemExit(str(diagnostic))
    runtime = VRLRuntime()

    def run(event: dict[str, Any]) -> dict[str, Any] | None:
        for source in sources:
            try:
                event = runtime.execute(source, event).processed_event
            except RuntimeError as error:
                if "^ aborted" in str(error):
                    return None
                raise
        return event

    return run


def _program(path: Path) -> str:
    text = path.read_text()
    if path.suffix != ".yaml":
        return text
    import yaml

    transforms = yaml.safe_load(text)["transforms"].values()
    (inline,) = [each["source"] for each in transforms if "source" in each]
    return str(inline)


def lua(script: str) -> Transform:
    """Return what calls the function `request`, as Fluent Bit's filter does."""
    from lupa.luajit21 import LuaRuntime, lua_type

    runtime = LuaRuntime(unpack_returned_tuples=True)
    runtime.execute(Path(script).read_text())

    def plain(value: Any) -> Any:
        if lua_type(value) != "table":
            return value
        if list(value) == list(range(1, len(value) + 1)):
            return [plain(each) for each in value.values()]
        return {key: plain(each) for key, each in value.items()}

    def run(event: dict[str, Any]) -> dict[str, Any] | None:
        code, _, record = runtime.globals().request("gateway", 0.0, runtime.table_from(event))
        if code == -1:
            return None
        event = plain(record)
        # The filter's type_int_key.
        return event | {name: int(event[name]) for name in ("status", "bytes")}

    return run


#: What Filebeat's script processor hands to `process`.
_EVENT = """
function handle(line) {
    var fields = {line: line}, dropped = false;
    process({
        Get: function (name) { return fields[name]; },
        Put: function (name, value) {
            var parts = name.split("."), at = fields;
            while (parts.length > 1) { at = at[parts[0]] = at[parts.shift()] || {}; }
            at[parts[0]] = value;
        },
        Delete: function (name) { delete fields[name]; },
        Cancel: function () { dropped = true; }
    });
    return dropped ? null : fields;
}
handle(dukpy.line);
"""


def js(script: str) -> Transform:
    """Return what calls the function `process`, as Filebeat's script processor does."""
    import dukpy

    source = Path(script).read_text() + _EVENT

    def run(event: dict[str, Any]) -> dict[str, Any] | None:
        result: dict[str, Any] | None = dukpy.evaljs(source, line=event)
        return result

    return run


def main(engine: str, *scripts: str) -> None:
    """Transform standard input."""
    transform: Transform = {"vrl": vrl, "lua": lua, "js": js}[engine](*scripts)
    for line in sys.stdin:
        print(json.dumps(transform(json.loads(line))))


if __name__ == "__main__":
    main(*sys.argv[1:])
