"""Stories that run at each change: one or two of each promise, since CI has an hour and a half on two cores.

All others vary one of these, or repeat over a whole fleet what a table in tests/unit or tests/conformance says too; they run
once a week. `tools/test long` runs them.
"""

from __future__ import annotations

CORE = {
    "test_bench": [
        "test_half_of_the_fleet_is_away_and_the_other_half_is_measured",
        "test_one_that_is_ended_leaves_the_residents_loaded",
    ],
    "test_client_files": [
        "test_a_life_over_ssh",
    ],
    "test_clients": [
        "test_the_whole_fleet_has_them_and_a_second_look_is_one_question",
        "test_a_persons_file_keeps_what_is_not_ours_and_comes_back_to_the_byte",
    ],
    "test_companion": [
        "test_a_log_that_launchd_holds_open_is_rotated_and_loses_no_line",
        "test_a_server_that_was_killed_has_its_residents_again",
    ],
    "test_doctor": [
        "test_a_healthy_fleet_is_called_so_with_what_was_checked",
        "test_what_goes_wrong_most_is_named_and_nothing_else",
    ],
    "test_drift": [
        "test_a_fleet_as_the_inventory_says_is_in_sync_and_was_only_looked_at",
        "test_half_down_half_drifted_is_both_and_says_since_when",
        "test_an_error_is_neither_drift_nor_silence",
    ],
    "test_exposure": [
        "test_after_a_restart_it_is_closed_before_anybody_logs_in",
        "test_the_fleet_gets_in_by_every_address_and_a_stranger_by_none",
    ],
    "test_failover": [
        "test_each_server_goes_down_once_and_its_clients_go_on",
        "test_the_controller_is_killed_and_the_mac_brings_its_service_back",
        "test_the_fleet_is_as_the_inventory_wants_it_afterwards",
    ],
    "test_firewall": [
        "test_only_what_is_asked_of_the_whole_is_changed_and_exactly_foretold",
    ],
    "test_hardening": [
        "test_sudo_ran_what_the_page_lists_and_nothing_else",
        "test_the_narrow_grant_suffices",
    ],
    "test_healer": [
        "test_swap_over_the_limit_unloads_what_is_no_resident",
        "test_a_server_that_hangs_is_started_anew_once",
        "test_the_playbook_says_what_it_would_do_and_then_does_it",
    ],
    "test_model_list": [
        "test_by_hand_a_model_comes_and_goes_and_check_mode_says_the_same",
        "test_the_models_of_both_macs_are_listed_with_what_is_loaded_and_what_the_registry_has",
    ],
    "test_power": [
        "test_drift_is_named_and_mended_and_what_was_before_stays_known",
        "test_the_converged_mini_stays_awake_and_knows_how_it_was",
    ],
    "test_reach": [
        "test_a_mac_that_is_asleep_is_left_out_and_named_at_the_end",
        "test_another_machine_in_the_place_of_a_mac_is_refused",
        "test_the_table_and_the_report_say_who_reached_whom",
    ],
    "test_restart": [
        "test_each_mac_is_restarted_and_has_its_residents_again",
    ],
    "test_service_change": [
        "test_a_no_op_interrupts_nothing",
        "test_a_power_cut_before_any_effect_loses_nothing",
        "test_a_server_that_cannot_work_is_taken_back",
        "test_ssh_cut_in_the_middle_leaves_the_change_going_on",
    ],
    "test_service_findings": [
        "test_an_agent_on_a_mac_that_is_always_on_is_warned_of",
    ],
    "test_shell_env": [
        "test_a_shell_has_an_address_to_connect_to_and_the_file_comes_back",
    ],
    "test_status": [
        "test_a_fleet_that_is_well_takes_one_look_at_each_mac",
        "test_half_a_fleet_is_told_of_with_what_is_known_of_the_other_half",
        "test_what_drifted_and_what_swaps_is_named_and_strict_runs_end_otherwise",
    ],
    "test_teardown": [
        "test_nothing_of_ours_is_left",
    ],
    "test_trouble": [
        "test_a_new_definition_that_does_not_come_up_is_taken_back",
        "test_a_port_that_another_program_holds_is_named_and_nobody_is_killed",
        "test_a_pull_that_was_cut_goes_on_where_it_stopped",
        "test_a_wrong_sudo_password_is_said_before_anything_is_touched",
    ],
    "test_unload": [
        "test_what_is_no_resident_leaves_and_nothing_restarts",
    ],
    "test_versions": [
        "test_a_version_that_cannot_load_a_model_is_taken_back_and_the_next_mac_is_not_touched",
        "test_an_upgrade_goes_from_mac_to_mac_and_ends_with_the_residents_in_memory",
    ],
}
"""The functions by file, in all their variants."""
