"""Steps are done once, remembered, and done again when their settings change."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from open_codesage.train.common.steps import Steps

NAMES = ("first", "second", "third")


@dataclass(frozen=True)
class StepConfig:
    output: Path
    size: int = 1


class Workshop:
    """Runs three steps, counts how often each is done, and can be stopped in the middle of one."""

    def __init__(self, folder):
        self.folder = folder
        self.done = []
        self.stop_at = None

    def run(self, sizes=(1, 1, 1)):
        steps = Steps(self.folder, NAMES)
        configs = {name: StepConfig(self.folder / name, size) for name, size in zip(NAMES, sizes, strict=True)}
        return [steps.run(name, config, lambda c, name=name: self._act(name, c)) for name, config in configs.items()]

    def _act(self, name, config):
        self.done.append(name)
        config.output.mkdir(exist_ok=True)
        (config.output / "begun").touch()
        if name == self.stop_at:
            raise KeyboardInterrupt
        return {"size": config.size, "output": config.output}


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


def test_finished_steps_are_not_done_again_and_keep_their_results(workshop):
    first = workshop.run()
    assert workshop.done == list(NAMES)
    assert [result["size"] for result in workshop.run()] == [1, 1, 1]
    assert workshop.done == list(NAMES)
    assert first[0]["output"] == "first", "relative to the root, the same new as from the record"


def test_an_interrupted_run_goes_on_with_the_interrupted_step(workshop):
    workshop.stop_at = "second"
    with pytest.raises(KeyboardInterrupt):
        workshop.run()
    workshop.stop_at = None
    workshop.run()
    assert workshop.done == ["first", "second", "second", "third"]


def interrupt_second(workshop):
    """Stop in the second step, and leave behind an output and working files."""
    workshop.stop_at = "second"
    with pytest.raises(KeyboardInterrupt):
        workshop.run()
    workshop.stop_at = None
    (workshop.folder / "second.run").mkdir()


def test_an_interrupted_step_keeps_its_working_files_but_no_output_without_a_record(workshop):
    interrupt_second(workshop)
    (workshop.folder / "second" / "stale").touch()
    workshop.run()
    assert (workshop.folder / "second.run").exists()
    assert not (workshop.folder / "second" / "stale").exists()


def test_changed_settings_redo_the_step_and_all_after_it(workshop, capsys):
    workshop.run()
    stale = [workshop.folder / name / "stale" for name in NAMES]
    for file in stale:
        file.touch()
    workshop.run(sizes=(1, 2, 1))
    assert workshop.done == [*NAMES, "second", "third"]
    assert [file.exists() for file in stale] == [True, False, False]
    assert "[second] settings have changed (size was 1, is 2)" in capsys.readouterr().out


def test_settings_changed_after_an_interruption_start_the_step_afresh(workshop):
    interrupt_second(workshop)
    workshop.run(sizes=(1, 2, 1))
    assert not (workshop.folder / "second.run").exists()


def test_what_no_record_speaks_of_is_not_removed(workshop):
    (workshop.folder / "second").mkdir()
    (workshop.folder / "second" / "mine").touch()
    workshop.run()
    assert (workshop.folder / "second" / "mine").exists()


def test_a_step_whose_output_is_gone_is_done_again_with_all_after_it(workshop):
    workshop.run()
    shutil.rmtree(workshop.folder / "second")
    workshop.run()
    assert workshop.done == [*NAMES, "second", "third"]


def test_a_copied_run_goes_on_by_itself_and_leaves_the_original_alone(workshop, tmp_path_factory):
    workshop.run()
    copy = Workshop(tmp_path_factory.mktemp("copies") / "copy")
    shutil.copytree(workshop.folder, copy.folder)
    copy.run()
    assert copy.done == []
    copy.run(sizes=(2, 1, 1))
    assert copy.done == list(NAMES)
    assert all((workshop.folder / name / "begun").exists() for name in NAMES)


def foreign(workshop, **changes):
    """A folder from somebody else, with a record of the first step; beside it a folder that is not theirs."""
    victim = workshop.folder.parent / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("x")
    (workshop.folder / "steps").mkdir(parents=True, exist_ok=True)
    entry = {"finished": True, "output": "first", "seconds": 1, "result": None, "settings": {"size": 0}}
    (workshop.folder / "steps" / "first.json").write_text(json.dumps(entry | changes))
    return victim


@pytest.fixture
def inside(tmp_path):
    (tmp_path / "root").mkdir()
    return Workshop(tmp_path / "root")


@pytest.mark.parametrize(
    "output",
    ["../victim", "{victim}", "first/../../victim", "link/victim", ".", "", "steps", "./steps/x", "..", "a\0b"],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_record_that_names_a_folder_no_step_has_written_is_refused(inside, output, finished):
    victim = foreign(inside, output=output.format(victim=inside.folder.parent / "victim"), finished=finished)
    (inside.folder / "link").symlink_to(inside.folder.parent)
    with pytest.raises(ValueError, match="no step below"):
        inside.run()
    assert (victim / "thesis.txt").exists()
    assert inside.done == []


def test_a_link_in_the_place_of_an_output_or_of_the_records_is_not_followed(inside):
    victim = foreign(inside)
    (inside.folder / "first").symlink_to(victim)
    with pytest.raises(FileExistsError):  # The step meets it as anybody's.
        Steps(inside.folder, NAMES).run("first", StepConfig(inside.folder / "first"), lambda c: c.output.mkdir())
    assert (victim / "thesis.txt").exists()
    shutil.rmtree(inside.folder / "steps")
    (inside.folder / "steps").symlink_to(victim)
    with pytest.raises(ValueError, match="is a link"):
        inside.run()
    assert [path.name for path in victim.iterdir()] == ["thesis.txt"]


def test_a_link_in_the_place_of_a_half_written_record_is_not_followed(inside):
    victim = foreign(inside)
    (inside.folder / "steps" / "first.partial").symlink_to(victim / "thesis.txt")
    inside.run()
    assert (victim / "thesis.txt").read_text() == "x"


@pytest.mark.parametrize(
    "changes",
    [{"finished": "yes"}, {"output": 3}, {"output": None}, {"settings": []}, {"seconds": "x"}, {"seconds": None}],
)
def test_a_damaged_record_is_refused_with_its_name(inside, changes):
    foreign(inside, **changes)
    with pytest.raises(ValueError, match=r"first\.json is no record of a step"):
        inside.run()
    (inside.folder / "steps" / "first.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"first\.json is nested too deeply"):
        inside.run()
