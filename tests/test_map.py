"""docs/map.md lists exactly the source files that exist, each with an idea."""

from write_map import MAP, read_map, render, source_files


def test_lists_exactly_the_files_that_exist():
    listed = read_map(MAP.read_text(encoding="utf-8"))
    files = set(source_files())
    missing, gone = sorted(files - listed.keys()), sorted(listed.keys() - files)
    assert not missing, f"not on the map (run `make map`): {missing}"
    assert not gone, f"on the map but gone (run `make map`): {gone}"


def test_reads_back_what_it_writes():
    ideas = {"src/twofold/a.py": "an idea", "src/twofold/b/c.py": "one - with a dash"}
    assert read_map("".join(render(ideas))) == ideas
