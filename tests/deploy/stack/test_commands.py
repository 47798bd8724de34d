"""The commands where no request to AWS is needed, and their errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from deploy.stack.resources.resource_names import reached
from deploy.stack.resources.template import template
from deploy.stack.settings import load
from runtime.aws.access import Access
from runtime.storage.locations import locate
from tests.deploy.stack.fake_aws import Aws, install


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    monkeypatch.chdir(tmp_path)
    return install(monkeypatch)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        return (main(list(arguments)), *capsys.readouterr())

    return run


def test_init_then_print(run: Any, aws: Aws) -> None:
    assert run("deploy")[0] == 1  # no file yet
    code, out, _ = run("deploy", "--init")
    assert code == 0
    assert "wrote antfold.toml" in out
    code, _, err = run("deploy", "--init")
    assert code == 1
    assert "was not changed" in err
    code, out, _ = run("deploy", "--print-template")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(template(load("antfold.toml"))))
    assert aws.calls == []


def test_a_mistake_in_the_file_is_one_sentence(run: Any) -> None:
    Path("mine.toml").write_text("[deployment]\nregoin = 'x'\n")
    code, _, err = run("deploy", "--config", "mine.toml", "--dry-run")
    assert code == 1
    assert err.startswith(
        "dataflow: mine.toml: [deployment]: 'regoin' is no setting; did you mean 'region'? There are "
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("deploy", "--bundle", "no.zip"), "--bundle no.zip: there is no such file"),
        (("destroy", "--confirm", "antfold"), "--confirm needs --delete-data"),
        (("destroy", "--delete-data"), "confirm with --confirm antfold"),
        (("destroy", "--delete-data", "--confirm", "antfol"), "confirm with --confirm antfold"),
        (("destroy", "--delete-data", "--yes"), "confirm with --confirm antfold"),
        (("deploy",), "deploying antfold needs confirmation, and there is no terminal: give --yes"),
        (("deploy", "--rollback"), "taking antfold back needs confirmation, and there is no terminal: give --yes"),
        (("destroy",), "removing antfold needs confirmation, and there is no terminal: give --yes"),
    ],
)
def test_refusals(run: Any, aws: Aws, arguments: tuple[str, ...], says: str) -> None:
    run("deploy", "--init")
    code, _, err = run(*arguments)
    assert code == 2
    assert says in err
    assert aws.calls == []


def test_a_store_is_asked_as_its_deployment_was_made() -> None:
    """The URL that is shown works where the AWS configuration says something else."""
    access = Access("telemetry", "eu-west-1", "http://127.0.0.1:4566")
    url = reached("s3://lake/store?table=antfold", access)
    assert locate(url).access == access
    assert reached("s3://lake/store?table=antfold", Access()) == "s3://lake/store?table=antfold"


class Terminal:
    """A person who answers, or interrupts."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["n", "", KeyboardInterrupt, EOFError])
def test_what_is_not_agreed_to_is_taken_back(
    run: Any, monkeypatch: pytest.MonkeyPatch, answer: str | type[BaseException]
) -> None:
    from deploy.stack.actions import create
    from deploy.stack.actions.change_sets import Change, Proposal

    taken: list[Proposal] = []

    class Fake:
        def __init__(self, *_: object) -> None:
            self.stack, self.shifts = self, []
            self.notes: list[str] = []

        def propose(self, *_: object) -> Proposal:
            return Proposal("p", True, (Change("Add", "Key", "AWS::KMS::Key", ""),))

        def withdraw(self, proposal: Proposal) -> None:
            taken.append(proposal)

    def answered(_: str) -> str:
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr(create, "Deployment", Fake)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", answered)
    run("deploy", "--init")
    assert run("deploy")[0] != 0
    assert len(taken) == 1
