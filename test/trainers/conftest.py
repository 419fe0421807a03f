import importlib

import jobs
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", params=jobs.bases)
def base(request, tmp_path_factory):
    """Folder and sha256 of the family's tiny base; for WAN both generations in turn."""
    return made_base(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def first_base(tmp_path_factory):
    return made_base(jobs.bases[0], tmp_path_factory)


@pytest.fixture(scope="session")
def train():
    """The family's own script, imported once for all forks."""
    return importlib.import_module(f"{jobs.family}.train")


made = {}


def made_base(name, factory):
    if name not in made:
        folder = factory.mktemp("base") / name.lower().replace(".", "_")
        made[name] = (folder, jobs.tiny_base(name, folder))
    return made[name]


@pytest.fixture
def job(first_base, tmp_path):
    """Makes a job's folder from changes to the plan."""

    def make(folder_name="job", **changes):
        folder, digest = first_base
        return jobs.make(tmp_path / folder_name, folder, jobs.plan_for(digest, **changes))

    return make


def pytest_collection_modifyitems(items):
    """What trains in this very process comes last: a fork can't compute gradients once its parent has."""
    items.sort(key=lambda item: item.path.name == "test_artifact.py")
