import platform

from spectheory.cli import machine


def test_the_processor_by_its_name(monkeypatch, tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: Chip: 9000\nprocessor\t: 1\nmodel name\t: B\n")
    monkeypatch.setattr(machine, "CPUINFO", listed)
    assert machine.processor() == "Chip: 9000"


def test_a_list_without_names_as_on_arm(monkeypatch, tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\n")
    for path in (listed, tmp_path / "none"):
        monkeypatch.setattr(machine, "CPUINFO", path)
        assert machine.processor() == (platform.processor() or platform.machine())
