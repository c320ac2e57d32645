"""Stories that run once a week and not at each change: CI has an hour and a half on two cores.

What stays has at least one story of each promise; what is here varies one of these, or repeats over a whole fleet what a table in
tests/unit or tests/conformance says too. `tools/test long` runs them.
"""

from __future__ import annotations

LONG = {
    "test_bench": [
        "test_nobody_answers_and_that_is_a_report",
        "test_a_mac_that_begins_to_swap_is_spared",
    ],
    "test_clients": [
        "test_a_server_that_leaves_the_inventory_leaves_the_files",
        "test_a_machine_that_is_away_stops_nobody",
    ],
    "test_companion": [
        "test_a_client_that_takes_the_pin_away_does_so_for_a_moment",
        "test_a_model_loaded_by_hand_is_not_pushed_out_by_the_resident",
        "test_settings_that_somebody_broke_are_a_line_and_drift",
        "test_a_mac_whose_last_resident_goes_has_no_job_for_residents_and_gets_it_back",
        "test_program_and_jobs_move_with_the_service_to_the_start_of_the_machine_and_back",
    ],
    "test_doctor": [
        "test_each_other_fault_is_named_and_nothing_else",
        "test_a_fleet_that_is_away_is_told_and_half_of_it_too",
        "test_what_was_not_asked_is_said_where_a_run_is_limited",
        "test_a_fleet_without_servers_is_a_sentence",
        "test_a_rule_for_another_network_and_another_address_are_named",
        "test_one_machine_that_fails_alone_is_not_the_servers_fault",
        "test_a_machine_that_is_kept_out_as_declared_is_a_note",
    ],
    "test_drift": [
        "test_a_mac_that_checks_itself_needs_no_controller",
    ],
    "test_exposure": [
        "test_it_can_be_taken_away_and_comes_back_without_cutting_a_connection",
        "test_a_scope_lets_in_what_it_says",
        "test_runs_leak_no_reference_and_touch_nobody_elses",
        "test_the_job_puts_right_whatever_else_was_done_to_pf",
        "test_afterwards_somebody_is_told_and_nothing_is_left_to_do",
        "test_the_application_firewall_is_another_gate",
        "test_an_update_that_writes_pf_conf_anew_changes_nothing",
        "test_main_rules_that_lead_nowhere_are_an_error_in_words",
    ],
    "test_failover": [
        "test_a_look_takes_nothing_down_and_says_how_it_is_done",
        "test_a_service_that_is_down_already_is_not_taken_down",
        "test_a_changed_property_list_does_not_come_into_effect_by_this",
        "test_a_hop_that_answers_with_an_error_is_told_with_what_each_program_does",
        "test_with_the_other_mac_asleep_nobody_is_left_and_the_server_comes_back",
        "test_the_connection_is_cut_and_the_run_goes_on",
        "test_a_second_pause_is_refused_and_one_without_a_first_changes_nothing",
        "test_a_keeper_that_was_killed_is_made_good",
        "test_a_run_that_starts_the_service_meanwhile_is_right",
        "test_a_drain_is_waited_for",
        "test_a_service_of_the_system_domain_goes_down_and_comes_back",
    ],
    "test_firewall": [
        "test_a_rule_that_shows_late_is_waited_for",
        "test_a_managed_mac_is_told_of_and_is_no_failure",
    ],
    "test_healer": [
        "test_residents_go_only_where_somebody_has_said_so_and_stay_away_until_it_is_over",
        "test_a_server_that_was_killed_is_launchds_business",
        "test_a_state_from_the_future_and_one_that_is_broken_keep_it_from_nothing",
        "test_of_two_at_once_the_second_ends_quietly",
        "test_broken_settings_are_told_with_the_line_and_the_last_good_ones_count",
    ],
    "test_model_list": [
        "test_a_tag_that_has_moved_is_told_and_pulled_where_it_is_not_pinned",
    ],
    "test_power": [
        "test_what_is_no_longer_asked_for_is_given_back",
        "test_a_laptop_that_is_asked_to_stay_awake_does_so_on_mains_alone",
        "test_a_virtual_machine_is_told_of_what_it_lacks_and_is_not_changed_for_ever",
        "test_updates_that_restart_the_mac_are_told",
        "test_a_teardown_gives_everything_back",
    ],
    "test_reach": [
        "test_one_connection_is_opened_and_all_tasks_use_it",
        "test_a_look_wakes_nobody",
        "test_what_is_no_hardware_address_is_said",
        "test_a_machine_that_is_away_has_a_row_that_says_so",
        "test_in_userspace_mode_the_others_are_asked_over_the_lan",
        "test_a_mac_that_left_the_tailnet_is_said_and_found_out_from_outside",
        "test_another_address_than_the_inventory_says_is_named",
        "test_a_loopback_server_is_published_in_the_tailnet_and_nowhere_else",
    ],
    "test_service_change": [
        "test_a_port_that_somebody_takes_in_between_is_said_and_the_old_service_waits_for_it",
        "test_two_runs_that_want_different_things_leave_one_of_them",
        "test_each_release_of_macos_is_changed_alike",
        "test_a_launchd_that_hesitates_is_told_again",
    ],
    "test_service_findings": [
        "test_a_variable_that_setenv_left_in_the_session_is_named",
        "test_the_environment_that_brew_services_would_use_is_named",
        "test_a_job_of_an_older_label_that_was_loaded_the_old_way_goes_with_its_file",
    ],
    "test_shell_env": [
        "test_the_alias_of_a_userspace_tailscale_works",
        "test_a_client_that_is_no_mac_can_have_it_too",
    ],
    "test_status": ["test_twenty_macs_are_looked_at_at_once"],
    "test_teardown": [
        "test_models_need_a_server_and_that_is_said_before_anything_goes",
        "test_a_mac_that_is_away_is_a_line",
    ],
    "test_trouble": [
        "test_a_registry_that_is_down_loses_nothing",
        "test_a_label_moves_and_leaves_nothing_behind",
    ],
    "test_unload": [
        "test_a_mac_that_is_away_is_a_line_and_one_that_is_not_loaded_there_too",
        "test_a_name_that_is_none_is_said",
    ],
    "test_versions": [
        "test_a_version_that_must_not_run_is_not_brought",
        "test_without_a_way_to_homebrew_nothing_is_done_and_it_is_said",
        "test_an_upgrade_that_is_killed_is_taken_up_by_the_next_run",
    ],
}
"""The functions by file, in all their variants."""
