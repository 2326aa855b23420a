//! Clients whose firmware is bad, and servers that are busy.

use super::*;

fn bad(does: &str) -> String {
    format!("[notify]\nevery_s = 5\n[[bad_firmware]]\ndoes = \"{does}\"\nshare = 1\nat_s = 60")
}

fn misbehaved(table: &Table) -> u64 {
    let report = table.machine.report(table.now, Generator::default());
    report.counts.get("misbehaved").copied().unwrap_or(0)
}

#[test]
fn a_flood_does_not_wait_for_its_answers() {
    let (mut table, _) = Table::registered(&bad("floods"));
    assert_eq!(table.until(ms(59_999)).len(), 0);
    let said = table.until(ms(70_000));
    assert!(
        (3..40).contains(&said.len()),
        "{} in ten seconds",
        said.len()
    );
    let ids: std::collections::HashSet<_> =
        said.iter().map(|one| one.message().message_id).collect();
    assert_eq!(ids.len(), said.len(), "none is sent again");
    assert!(said.iter().all(|one| one.path() == "/rd/L0"));
    assert_eq!(misbehaved(&table), said.len() as u64);
}

#[test]
fn garbage_is_no_message() {
    let (mut table, _) = Table::registered(&bad("garbage"));
    let said = table.until(ms(70_000));
    assert!(said.len() > 3);
    // By chance one in some may look like one; not most of them.
    let messages = said
        .iter()
        .filter(|one| datagram::decode(&one.bytes).is_ok());
    assert!(messages.count() * 2 < said.len());
}

#[test]
fn a_boot_loop_registers_again_and_again() {
    let (mut table, _) = Table::registered(&bad("reboots"));
    let said = table.until(ms(70_000));
    let registers = said.iter().filter(|one| one.path() == "/rd").count();
    assert!(registers >= 1, "{registers}");
    assert_eq!(table.errors("register_timeout"), 0);
}

#[test]
fn a_deaf_client_hears_no_request_and_a_nonsensical_one_answers_with_what_does_not_parse() {
    let (mut table, register) = Table::registered(&bad("deaf"));
    let asked = table.ask(&register, Code::GET, "/3/0/0", Ask::default());
    assert_eq!(asked.len(), 1, "it was well until then");
    table.until(ms(60_000));
    let asked = table.ask(&register, Code::GET, "/3/0/0", Ask::default());
    assert_eq!(asked.len(), 0);

    let (mut table, register) = Table::registered(&bad("nonsense"));
    table.until(ms(60_000));
    let answer = table
        .ask(&register, Code::GET, "/3/0", Ask { id: 2, ..OBSERVE })
        .remove(0);
    assert_eq!(answer.message().payload, [0xff; 4]);
    table.facts();
    let said = table.until(ms(66_000));
    let notification = said.last().expect("it notifies on");
    assert_eq!(notification.message().payload, [0xff; 4]);
    let [a, b] = notification.message().message_id.0.to_be_bytes();
    table
        .machine
        .handle_receive(table.now, 0, notification.binding, &[0x60, 0, a, b]);
    assert_eq!(table.facts(), [], "nobody can have kept such a value");
}

#[test]
fn who_is_told_to_come_later_does_not_give_up() {
    let mut table = Table::new(1, 1.0, "[register]\nattempts = 2");
    let mut options = OptionList::new();
    options.push_uint(OptionNumber::MAX_AGE, 10);
    for _ in 0..20 {
        let mut said = Vec::new();
        while said.is_empty() {
            said = table.until(table.now + ms(1_000));
        }
        table.respond(&said[0], Code::SERVICE_UNAVAILABLE, &options);
    }
    assert_eq!(table.errors("register_5.03"), 20);
    assert_eq!(table.errors("register_given_up"), 0);
}

#[test]
fn updates_that_are_told_to_come_later_come_later_each_at_a_time_of_its_own() {
    let mut table = Table::new(20, 1_000.0, "[update]\nevery_s = 10");
    for register in table.until(ms(100)) {
        table.create(&register);
    }
    let mut options = OptionList::new();
    options.push_uint(OptionNumber::MAX_AGE, 100);
    let updates = table.until(ms(10_200));
    for update in &updates {
        table.respond(update, Code::SERVICE_UNAVAILABLE, &options);
    }
    let told = table.now;
    assert_eq!(table.until(told + ms(99_000)).len(), 0);
    let mut times = std::collections::HashSet::new();
    while table.now < told + ms(151_000) {
        if !table.until(table.now + ms(1_000)).is_empty() {
            times.insert(table.now);
        }
    }
    assert!(times.len() > 5, "{times:?}");
}
