"""What is public is listed, and what is listed is there."""

import ast
import functools
import importlib
import inspect
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"


def public_modules() -> list[str]:
    names: list[str] = []
    for path in sorted((SOURCE / "missionlink").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if "generated" in parts or any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        names.append(".".join(parts).removesuffix(".__init__"))
    return names


@functools.cache
def tree_of(module: str) -> ast.Module:
    path = SOURCE.joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


def for_checkers(module: str) -> set[str]:
    """The names that only type checkers see: those of the stub, else those imported under ``TYPE_CHECKING``."""
    stub = SOURCE.joinpath(*module.split(".")).with_suffix(".pyi")
    if stub.exists():
        return _stubbed(ast.parse(stub.read_text()))
    blocks = [
        node
        for node in tree_of(module).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    return {name for block in blocks for name in _imported(block)}


def _stubbed(stub: ast.Module) -> set[str]:
    # In a stub only `import X as X` makes a name part of the module.
    again = {
        alias.name
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    return again | {node.name for node in stub.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _imported(block: ast.AST) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


LAZY = [
    module
    for module in public_modules()
    if any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree_of(module).body)
]


@pytest.mark.parametrize("name", public_modules())
def test_a_public_module_lists_its_names_in_a_tuple_and_has_them(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    assert isinstance(listed, tuple), f"{name} needs an __all__ tuple"
    assert len(set(listed)) == len(listed)
    missing = [one for one in listed if not hasattr(module, one)]
    assert not missing


@pytest.mark.parametrize("name", public_modules())
def test_what_a_public_module_does_not_list_is_private_by_its_name(name):
    defined = {
        node.name
        for node in tree_of(name).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    # pytest finds its hooks by their names.
    unlisted = {one for one in defined if not one.startswith(("_", "pytest_"))} - set(
        importlib.import_module(name).__all__
    )
    assert not unlisted, f"list it in __all__ or begin it with an underscore: {sorted(unlisted)}"


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_package_serves_exactly_what_type_checkers_see(name):
    module = importlib.import_module(name)
    tree = tree_of(name)
    offered = set(module.__all__) - {"__version__"}
    here = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    # A name that only annotations of the package itself use need not be served.
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert for_checkers(name) - used <= offered
    assert offered - here - defined <= for_checkers(name)
    assert offered <= set(dir(module))
    with pytest.raises(AttributeError):
        _ = module.no_such_name


def test_the_table_of_the_root_is_the_list_for_type_checkers():
    import missionlink

    table = {node for node in tree_of("missionlink").body if isinstance(node, ast.Assign)}
    (names,) = (
        set(ast.literal_eval(node.value))
        for node in table
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_MODULES"
    )
    assert names == for_checkers("missionlink") == set(missionlink.__all__) - {"__version__"}


def test_a_public_class_calls_itself_by_a_name_that_can_be_imported():
    """Tracebacks and reprs show ``__module__``."""
    import missionlink

    for name in missionlink.__all__:
        thing = getattr(missionlink, name)
        if inspect.isclass(thing):
            home = importlib.import_module(thing.__module__)
            assert getattr(home, thing.__name__) is thing


def test_no_public_name_stands_for_two_classes():
    """But for those of the blocking twin, which stand for the same thing."""
    classes: dict[str, set[type]] = {}
    for module in ("missionlink", "errors", "hooks", "options", "storage", "model_requests", "tokens", "testing"):
        _collect_classes("missionlink" if module == "missionlink" else f"missionlink.{module}", classes)
    _collect_classes("missionlink.mission_control", classes)
    assert {name: found for name, found in classes.items() if len(found) > 1} == {}


def _collect_classes(module: str, classes: dict[str, set[type]]) -> None:
    package = importlib.import_module(module)
    for name in getattr(package, "__all__", ()):
        value = getattr(package, name)
        if isinstance(value, type):
            classes.setdefault(name, set()).add(value)
