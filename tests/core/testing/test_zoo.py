"""The conformance kit is itself tested: every deliberately wrong component is caught by the check that is meant for it, and by no other.

A check that needs the broken promise is blocked rather than failed; everything else passes. Healthy components pass everything.
"""

from __future__ import annotations

import pytest

from twm_core.component import Component
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.registry import Registered
from twm_core.testing.case import Case, HeavyImports, make_cases
from twm_core.testing.checks import CHECKS
from twm_core.testing.runner import Run

HEAVY = HeavyImports(["zoo_configs", "zoo_heavy_config"])
"""One interpreter for the whole zoo."""

PLUGIN = Plugin(name="zoo", distribution="acme-zoo", version="1.0", value="zoo", status="loaded")

FAULTS: dict[str, dict[str, str]] = {
    "encoder": {
        "refuses by value error": "refuses_by_mismatch",
        "fits nothing": "fits_something",
        "gives another spec each time": "specs_are_pure",
        "builds something else": "builds_its_kind",
        "lies about its width": "shapes_match_the_spec",
        "gives a token that the spec does not name": "shapes_match_the_spec",
        "decides by a value": "runs_without_data",
        "writes into its input": "input_stays_as_it_is",
        "draws from the global generator": "draws_nothing_unasked",
        "counts its calls": "same_seed_same_result",
        "draws weights from numpy": "same_seed_same_result",
        "divides by nobody": "results_are_finite",
        "pools absent agents": "absent_agents_change_nothing",
        "masks the output only": "absent_agents_leave_gradients_alone",
        "depends on the slot": "agents_have_no_order",
        "mixes the batch": "batch_rows_are_independent",
        "normalizes over the batch in training": "batch_rows_are_independent",
        "has a dead parameter": "gradients_reach_every_parameter",
        "has a detached layer": "gradients_reach_every_parameter",
        "puts one precision into another": "half_precision_is_survived",
        "forgets a buffer": "state_dict_is_complete",
        "forgets its statistics": "state_dict_is_complete",
        "reads the target": "targets_are_not_read",
        "sees the next step": "future_changes_nothing",
        "normalizes over time": "future_changes_nothing",
        "remembers earlier steps": "steps_are_seen_alone",
    },
    "dynamics": {
        "averages tokens of absent agents": "absent_agents_change_nothing",
        "masks its results only": "absent_agents_leave_gradients_alone",
        "draws from the global generator": "draws_nothing_unasked",
        "starts with another shape": "initial_state_has_its_shape",
        "has no distribution": "family_is_what_the_spec_says",
        "has a negative divergence": "divergence_is_a_divergence",
        "looks before it predicts": "prior_is_blind",
        "knows who will be there": "prior_is_blind_to_presence",
        "sees the next step": "posterior_is_causal",
        "knows the action that follows": "posterior_is_causal",
        "ignores is_first": "resets_forget",
        "has a clock outside of its state": "steps_match_the_sequence",
        "ignores the first action": "steps_match_the_sequence",
        "says that its agents are independent": "independent_agents_influence_nobody",
        "corrects absent agents": "absent_agents_keep_their_prior",
        "moves agents not seen yet": "unseen_agents_stay_initial",
        "minds a mask that withholds nothing": "nothing_withheld_is_no_mask",
        "sees what is withheld": "withheld_tokens_are_not_seen",
        "stands still while withheld": "withheld_steps_keep_their_prior",
        "is begun by what is withheld": "withheld_steps_keep_their_prior",
        "imagines otherwise": "imagining_is_the_prior",
        "gives equal samples": "samples_differ",
        "keeps its own seed": "samples_differ",
        "ignores actions": "actions_matter",
        "knows later actions": "imagined_past_is_closed",
        "asks its policy once": "policies_are_actions",
        "listens to absent agents": "absent_agents_are_not_imagined_with",
        "swaps samples and steps": "shapes_match_the_spec",
        "depends on the slot": "agents_have_no_order",
        "mixes the batch": "batch_rows_are_independent",
    },
    "decoder": {
        "leaves a key out": "keys_match_the_spec",
        "adds a key": "keys_match_the_spec",
        "leaves a feature out": "shapes_match_the_spec",
        "samples another shape": "distributions_work",
        "samples as it likes": "samples_follow_the_generator",
        "cannot be detached": "distributions_can_be_mapped",
        "listens to absent agents": "absent_agents_change_nothing",
        "depends on the slot": "agents_have_no_order",
        "mixes the batch": "batch_rows_are_independent",
        "divides by nobody": "results_are_finite",
        "remembers earlier steps": "steps_are_decoded_alone",
        "mixes the futures": "futures_are_decoded_alone",
        "rolls out backwards": "rollout_is_causal",
        "rolls out at another speed": "one_step_is_a_rollout",
        "decodes in the world's frame": "frames_are_free",
    },
    "loss": {
        "divides by nobody": "terms_are_finite_scalars",
        "takes the root of zero": "terms_are_finite_scalars",
        "forgets to average": "terms_are_finite_scalars",
        "returns nothing": "terms_are_finite_scalars",
        "writes into the batch": "same_input_same_terms",
        "draws from the global generator": "same_input_same_terms",
        "trains nothing": "something_is_trained",
        "reads another branch": "only_its_branches_are_read",
        "weighs rows by their number": "batch_order_does_not_matter",
        "weighs slots by their number": "agents_have_no_order",
        "counts absent agents": "absent_agents_change_nothing",
        "averages over slots": "empty_slots_change_nothing",
        "has the wrong sign": "truth_is_best",
    },
    "optimizer": {
        "moves matrices only": "every_parameter_moves",
        "draws noise": "same_gradients_same_updates",
        "has a rate of its own": "the_learning_rate_is_obeyed",
        "decays what has no gradient": "parameters_without_gradient_stay",
        "climbs": "it_descends",
        "keeps its moments to itself": "updates_can_be_resumed",
    },
    "dataset": {
        "gives another dtype": "batches_match_the_spec",
        "leaves a key out": "batches_match_the_spec",
        "counts lanes wrongly": "batches_match_the_spec",
        "holds what is not a number": "values_are_finite",
        "leaves rubbish in empty slots": "values_are_finite",
        "draws while reading": "reads_repeat",
        "has a new fingerprint each time": "reads_repeat",
        "normalizes over the batch": "windows_do_not_depend_on_company",
        "counts wrongly": "counts_are_reported",
        "tests on what it trains on": "splits_share_nothing",
        "goes by another clock": "speeds_fit_the_clock",
        "centres on the whole window": "future_leaves_inputs_alone",
        "begins without saying so": "episodes_are_marked",
        "gives the number of a category": "categorical_actions_are_one_hot",
    },
    "reader": {
        "is anonymous": "it_says_whose_data_it_is",
        "names one file twice": "sources_are_found",
        "draws while reading": "reading_repeats",
        "names its folder": "names_are_independent_of_the_place",
        "forgets the unit": "reading_repeats",
        "gives degrees": "recordings_make_sense",
        "never cuts": "long_recordings_are_cut",
        "knows better where it is": "the_site_can_be_named",
        "finds nothing and is happy": "nothing_there_is_a_data_error",
        "dies of bad numbers": "damaged_files_are_refused_by_name",
        "differences with the future": "its_scenarios_know_no_future",
    },
    "renderer": {
        "has no suffix": "files_are_written",
        "writes elsewhere": "files_are_written",
        "miscounts": "files_are_written",
        "moves the agents": "scenario_stays_as_it_is",
        "writes the time": "same_scenario_same_bytes",
        "shows everything": "steps_are_obeyed",
        "goes beyond the end": "steps_are_obeyed",
        "draws nobody": "nobody_is_a_data_error",
        "writes before it looks": "nobody_is_a_data_error",
    },
    "simulator": {
        "has another clock": "frames_are_as_declared",
        "forgets the seed": "same_seed_same_episode",
        "moves when it is saved": "saving_changes_nothing",
        "keeps something back": "restoring_replays",
        "ignores what it cannot do": "impossible_interventions_move_nothing",
        "acts before it looks": "impossible_interventions_move_nothing",
        "takes any snapshot": "snapshots_of_others_are_refused",
        "works when it is closed": "closing_is_final",
        "gives names to others": "names_stay_with_their_agents",
    },
    "metric": {
        "swaps its scores": "scores_are_as_declared",
        "scores what is not predicted": "scores_are_as_declared",
        "sums in single precision": "sums_are_finite_and_counted",
        "counts everybody": "sums_are_finite_and_counted",
        "divides by nobody": "sums_are_finite_and_counted",
        "counts its calls": "same_input_same_sums",
        "draws from the global generator": "same_input_same_sums",
        "writes into the truth": "same_input_same_sums",
        "looks at the batch": "rows_add_up",
        "weighs slots by their number": "agents_have_no_order",
        "reads who is not there": "absent_agents_change_nothing",
        "averages over slots": "empty_slots_change_nothing",
        "minds equal weights": "equal_weights_are_no_weights",
        "is never content": "truth_is_best",
        "finishes one at a time": "finish_takes_resamples",
        "warns of nothing": "finish_takes_resamples",
        "says that nothing is perfect": "finish_takes_resamples",
    },
    "baseline": {
        "has no density": "forecasts_are_as_declared",
        "gives one future too many": "forecasts_are_as_declared",
        "predicts what the protocol predicts": "forecasts_are_as_declared",
        "needs a past": "forecasts_are_finite",
        "has weights that do not add up": "probabilities_are_probabilities",
        "is more than certain": "probabilities_are_probabilities",
        "draws from the global generator": "draws_nothing_unasked",
        "writes into its input": "input_stays_as_it_is",
        "counts its calls": "same_seed_same_forecast",
        "learns by chance": "same_seed_same_forecast",
        "has one future in copies": "several_futures_differ",
        "reads the target": "targets_are_not_read",
        "reads who is not there": "absent_agents_change_nothing",
        "counts slots": "empty_slots_change_nothing",
        "depends on the slot": "agents_have_no_order",
        "looks at the batch": "batch_rows_are_independent",
        "is lost without fitting": "unfitted_it_works_or_says_so",
        "knows the north": "the_world_has_no_north",
    },
    "protocol": {
        "names what nobody has": "choices_are_known",
        "fixes a field that there is not": "choices_are_known",
        "names a folder": "it_fixes_no_folder",
        "asks for no future": "it_says_what_is_scored",
        "asks for a split that there is not": "it_says_what_is_scored",
        "builds another one": "it_says_what_is_scored",
        "imports torch": "it_has_one_hash",
        "has another hash in each process": "it_has_one_hash",
    },
}
ELSEWHERE = {"older_layouts_can_be_upgraded", "another_device_agrees"}
"""Caught in test_zoo_elsewhere."""

TRAITS = {"independent_agents_influence_nobody"}
"""Of traits that the healthy specimens do not have."""

CONFIGS = {
    "zoo_configs:OpenEncoder": "config_keeps_the_rules",
    "zoo_configs:MutableEncoder": "config_keeps_the_rules",
    "zoo_configs:SilentEncoder": "config_keeps_the_rules",
    "zoo_configs:ForgetfulEncoder": "config_keeps_the_rules",
    "zoo_configs:NotAnEncoder": "config_keeps_the_rules",
    "zoo_configs:Missing": "config_keeps_the_rules",
    "zoo_heavy_config:HeavyEncoder": "config_is_torch_free",
}


def specimen(kind: str, config: str | None = None) -> Registered:
    component = Component(
        kind=kind,
        name="specimen",
        summary="One of the zoo.",
        config=config or f"zoo_configs:Zoo{kind.capitalize()}",
        build=f"zoo_{kind}:build",
    )
    return Registered(component=component, plugin=PLUGIN)


def failing(cases: list[Case]) -> set[str]:
    for case in cases:
        case.heavy = HEAVY
    results = Run(cases).results()
    assert {r.status for r in results} <= {"passed", "failed", "blocked", "skipped"}
    return {r.check for r in results if r.status == "failed"}


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_a_healthy_component_passes_every_check(kind: str) -> None:
    results = Run(make_cases([specimen(kind)])).results()
    # The zoo has one layout of parameters, and machines without a GPU are common; both are tried in test_zoo_elsewhere.
    assert {r.check for r in results if r.status == "skipped"} <= ELSEWHERE | TRAITS
    assert [r for r in results if r.status not in ("passed", "skipped")] == []
    assert len(results) == len(CHECKS[kind])


@pytest.mark.parametrize(("kind", "fault"), [(k, f) for k, faults in FAULTS.items() for f in faults])
def test_a_wrong_component_is_caught_by_its_check_and_no_other(kind: str, fault: str) -> None:
    cases = make_cases([specimen(kind)], {f"{kind}/specimen": [{"fault": fault}]})
    assert failing(cases) == {FAULTS[kind][fault]}


@pytest.mark.parametrize("config", sorted(CONFIGS))
def test_a_wrong_config_is_caught_by_its_check_and_no_other(config: str) -> None:
    assert failing(make_cases([specimen("encoder", config)])) == {CONFIGS[config]}


def test_every_check_catches_something() -> None:
    """No check is vacuous: each has a specimen in the zoo, but for those that the other kinds' specimens cover."""
    general = {c.name for c in CHECKS["encoder"]}
    for kind, faults in FAULTS.items():
        caught = set(faults.values()) | ELSEWHERE | (set(CONFIGS.values()) if kind == "encoder" else set())
        silent = {c.name for c in CHECKS[kind]} - caught - (set() if kind == "encoder" else general)
        assert silent == set(), kind
