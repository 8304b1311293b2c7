//! The cases that both routing clients are held to; the Python client's side is tests/sdk/test_routing_cases.py.

use std::path::Path;

use aidb_client::balance::rendezvous_order;
use aidb_client::ejection::{Ejections, is_outlier};
use aidb_client::hedge::{Budget, Quantile};
use aidb_client::pb::{ErrorCode, Member};
use aidb_client::policy::{Action, Cause, Kind, decide, ejects};
use aidb_client::slots::hash_tag;
use aidb_client::{Position, Token, slot_of};
use serde_json::Value;

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/routing_cases.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = text(value).as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn slots() {
    for case in cases("slots") {
        let key = bytes(&case["key"]);
        assert_eq!(hash_tag(&key), bytes(&case["tag"]), "{case}");
        assert_eq!(Value::from(slot_of(&key)), case["slot"], "{case}");
    }
}

#[test]
fn rendezvous() {
    for case in cases("rendezvous") {
        let member = |name: &Value| Member {
            name: text(name).into(),
            ..Default::default()
        };
        let names = case["members"].as_array().unwrap();
        let members: Vec<Member> = names.iter().map(member).collect();
        let order: Vec<Value> = rendezvous_order(members.iter(), &bytes(&case["key"]))
            .into_iter()
            .map(|member| member.name.clone().into())
            .collect();
        assert_eq!(Value::from(order), case["order"], "{case}");
    }
}

/// From [[shard, epoch, lsn], ...].
fn token(positions: &Value) -> Token {
    let mut token = Token::default();
    for position in positions.as_array().unwrap() {
        let part = |index: usize| position[index].as_u64().unwrap();
        let (epoch, lsn) = (part(1), part(2));
        token.raise(part(0) as u32, Position { epoch, lsn });
    }
    token
}

#[test]
fn token_merge() {
    for case in cases("token_merge") {
        let mut merged = token(&case["into"]);
        merged.merge(&token(&case["of"]));
        assert_eq!(merged, token(&case["result"]), "{case}");
    }
}

fn cause(name: &str) -> Cause {
    match name {
        "UNREACHABLE" => Cause::Unreachable,
        "LOST" => Cause::Lost,
        "TIMEOUT" => Cause::Timeout,
        code => Cause::Code(ErrorCode::from_str_name(code).unwrap()),
    }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Raise => "raise",
        Action::Redirect => "redirect",
        Action::OtherMember => "other_member",
        Action::Backoff => "backoff",
        Action::Refresh => "refresh",
        Action::Resend => "resend",
        Action::Unknown => "unknown",
    }
}

#[test]
fn actions() {
    for case in cases("actions") {
        let cause = cause(text(&case["cause"]));
        for (column, kind) in [
            ("read", Kind::Read),
            ("write", Kind::Write),
            ("conditional_write", Kind::ConditionalWrite),
        ] {
            assert_eq!(name(decide(cause, kind)), case[column], "{column}: {case}");
        }
    }
}

#[test]
fn ejecting_causes() {
    let ejecting = cases("ejecting");
    for case in cases("actions") {
        let named = ejecting.contains(&case["cause"]);
        assert_eq!(ejects(cause(text(&case["cause"]))), named, "{case}");
    }
}

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn hedge_delay() {
    for case in cases("hedge_delay") {
        let mut quantile = Quantile::default();
        numbers(&case["seconds"])
            .into_iter()
            .for_each(|seconds| quantile.add(seconds));
        let estimate = case["estimate"].as_f64().unwrap();
        assert!((quantile.value() / estimate - 1.0).abs() < 1e-9, "{case}");
        assert_eq!(quantile.delay(), None, "few answers are known");
    }
}

#[test]
fn hedge_budget() {
    for case in cases("hedge_budget") {
        let number = |name: &str| case[name].as_f64().unwrap();
        let mut budget = Budget::new(number("extra"), number("burst"));
        let mut allowed = Vec::new();
        for step in text(&case["steps"]).chars() {
            match step {
                'c' => budget.called(),
                _ => allowed.push(budget.spend()),
            }
        }
        assert_eq!(Value::from(allowed), case["allowed"], "{case}");
    }
}

#[test]
fn ejections() {
    for case in cases("ejections") {
        let mut ejections = Ejections::default();
        let members: Vec<&str> = case["members"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let draw = case["draw"].as_f64().unwrap();
        for step in case["steps"].as_array().unwrap() {
            let now = step["at"].as_f64().unwrap();
            if let Some(name) = step["failed"].as_str() {
                ejections.failed(name, now, 1.0);
            } else if let Some(name) = step["answered"].as_str() {
                ejections.succeeded(name, now);
            } else {
                let (asked, out) = ejections.split(members.clone(), |name| name, now, || draw);
                assert_eq!(Value::from(asked), step["asked"], "{step} of {case}");
                assert_eq!(Value::from(out), step["out"], "{step} of {case}");
            }
        }
    }
}

#[test]
fn outliers() {
    for case in cases("outliers") {
        let latency = case["latency"].as_f64().unwrap();
        let found = is_outlier(latency, numbers(&case["siblings"]).into_iter());
        assert_eq!(Value::from(found), case["outlier"], "{case}");
    }
}
