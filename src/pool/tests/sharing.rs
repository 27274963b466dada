//! Agents that share their idle connections.

use super::*;

const SHARED: Limits = Limits {
    shared: true,
    ..UNLIMITED
};

#[test]
fn an_agent_that_shares_takes_the_idle_connection_of_another_instead_of_dialing() {
    let mut b = Bench::new(Limits {
        max_requests_per_socket: 3,
        ..SHARED
    });
    let donor = b.agent;
    let conn = b.idle(1);

    b.agent = b.pool.add_agent(UNLIMITED);
    let alone = b.dial(1);
    assert_eq!(b.pool.adoption(alone), None);

    b.agent = b.pool.add_agent(SHARED);
    let other_key = b.dial(2);
    assert_eq!(b.pool.adoption(other_key), None);
    let adopted = b.dial(1);
    assert_ne!(adopted, conn);
    assert_eq!(b.pool.state(conn), None);
    assert_eq!(b.pool.counts(donor, 1), Counts::default());
    assert_eq!(b.check_in(adopted, None, 0), CheckIn::Idle);

    // And back again, with what it has served.
    b.agent = donor;
    let back = b.dial(1);
    assert_eq!(b.pool.adoption(back), Some(adopted));
    let third = b.check_in(back, None, 0);
    assert_eq!(third, CheckIn::Closed(CloseReason::MaxRequests));
}

#[test]
fn a_bound_connection_is_never_adopted() {
    let mut b = Bench::new(SHARED);
    let conn = b.dial(1);
    b.pool.bind(conn);
    b.check_in(conn, None, 0);
    b.agent = b.pool.add_agent(SHARED);
    let dialed = b.dial(1);
    assert_eq!(b.pool.adoption(dialed), None);
}

#[test]
fn an_agent_that_ends_leaves_its_idle_connections_to_one_that_shares() {
    let mut b = Bench::new(SHARED);
    let heir = b.agent;
    b.pool.retain_origin(heir, 1);
    b.agent = b.pool.add_agent(SHARED);
    let (left, of_another_key) = (b.idle(1), b.idle(2));
    b.effects.clear();
    b.pool.remove_agent(b.agent, &mut b.effects);
    let gone = close(of_another_key, CloseReason::AgentDestroyed);
    assert_eq!(b.effects.len(), 2);
    assert!(b.effects.contains(&gone));
    assert!(b.effects.contains(&Effect::Leave { conn: left }));

    b.agent = heir;
    let dialed = b.dial(1);
    assert_eq!(b.pool.adoption(dialed), Some(left));
    assert_eq!(b.pool.agents.len(), 1, "the one that ended is forgotten");
}

#[test]
fn what_was_left_expires_and_closes_with_the_last_agent_that_shares() {
    for expires in [true, false] {
        let mut b = Bench::new(SHARED);
        let heir = b.agent;
        b.pool.retain_origin(heir, 1);
        b.agent = b.pool.add_agent(Limits {
            free_socket_timeout_ms: 700,
            ..SHARED
        });
        let left = b.idle(1);
        b.pool.remove_agent(b.agent, &mut b.effects);
        b.effects.clear();
        let reason = if expires {
            b.pool.expire(700, &mut b.effects);
            CloseReason::IdleTimeout
        } else {
            b.pool.remove_agent(heir, &mut b.effects);
            CloseReason::AgentDestroyed
        };
        assert_eq!(b.effects, [close(left, reason)]);
        assert_eq!(b.pool.agents.len(), usize::from(expires));
    }
}

#[test]
fn what_was_left_closes_when_the_last_that_shares_lets_the_origin_go() {
    let mut b = Bench::new(SHARED);
    let heir = b.agent;
    b.pool.retain_origin(heir, 1);
    b.agent = b.pool.add_agent(SHARED);
    let left = b.idle(1);
    b.pool.remove_agent(b.agent, &mut b.effects);
    b.effects.clear();
    b.pool.release_origin(heir, 1, &mut b.effects);
    assert_eq!(b.effects, [close(left, CloseReason::AgentDestroyed)]);
}

#[test]
fn nothing_is_left_to_agents_that_do_not_share_nor_what_is_bound() {
    let mut b = Bench::new(UNLIMITED);
    b.pool.retain_origin(b.agent, 1);
    b.agent = b.pool.add_agent(SHARED);
    let alone = b.idle(1);
    b.effects.clear();
    b.pool.remove_agent(b.agent, &mut b.effects);
    assert_eq!(b.effects, [close(alone, CloseReason::AgentDestroyed)]);

    let heir = b.pool.add_agent(SHARED);
    b.pool.retain_origin(heir, 1);
    b.agent = b.pool.add_agent(SHARED);
    let bound = b.dial(1);
    b.pool.bind(bound);
    b.check_in(bound, None, 0);
    b.effects.clear();
    b.pool.remove_agent(b.agent, &mut b.effects);
    assert_eq!(b.effects, [close(bound, CloseReason::AgentDestroyed)]);
}

/// Keys 1 and 2 of the bench's agent are behind one proxy, and so is key 3 of another agent's.
fn routed(limits: Limits) -> (Bench, AgentId) {
    let mut b = Bench::new(limits);
    let other = b.pool.add_agent(limits);
    for (agent, key, route) in [(b.agent, 1, 9), (b.agent, 2, 9), (other, 3, 9)] {
        // Agents that do not share have routes of their own.
        let route = match limits.shared || agent == b.agent {
            true => route,
            false => route + 1,
        };
        b.pool.retain_routed(agent, key, route);
    }
    (b, other)
}

#[test]
fn origins_behind_one_proxy_take_each_others_idle_connections_within_their_own_limits() {
    for limits in [UNLIMITED, SHARED] {
        let (mut b, other) = routed(limits);
        let conn = b.idle(1);
        let adopted = b.dial(2);
        assert_eq!(b.pool.adoption(adopted), Some(conn));
        assert_eq!(b.pool.counts(b.agent, 1), Counts::default());
        assert_eq!(b.pool.counts(b.agent, 2).dialing, 1);
        let fresh = b.dial(1);
        assert_eq!(b.pool.adoption(fresh), None);
        b.check_in(adopted, None, 0);
        let agent = std::mem::replace(&mut b.agent, other);
        let elsewhere = b.dial(3);
        let expected = limits.shared.then_some(adopted);
        assert_eq!(b.pool.adoption(elsewhere), expected);
        b.agent = agent;
    }
}

#[test]
fn a_bound_connection_to_a_proxy_serves_its_own_origin_alone() {
    let (mut b, _) = routed(UNLIMITED);
    let conn = b.dial(1);
    b.pool.bind(conn);
    b.check_in(conn, None, 0);
    let dialed = b.dial(2);
    assert_eq!(b.pool.adoption(dialed), None);
}

#[test]
fn an_agent_that_ends_closes_what_its_origins_behind_a_proxy_have() {
    for limits in [UNLIMITED, SHARED] {
        let (mut b, other) = routed(limits);
        let (one, two) = (b.dial(1), b.dial(2));
        b.check_in(one, None, 0);
        b.check_in(two, None, 0);
        if limits.shared {
            b.pool.remove_agent(other, &mut b.effects);
        }
        b.effects.clear();
        b.pool.remove_agent(b.agent, &mut b.effects);
        for conn in [one, two] {
            let gone = close(conn, CloseReason::AgentDestroyed);
            assert!(b.effects.contains(&gone), "{:?}", b.effects);
        }
        assert_eq!(b.pool.agents.len(), usize::from(!limits.shared));
    }
}

#[test]
fn a_total_limit_costs_origins_behind_one_proxy_no_connection() {
    let limits = Limits {
        max_total_sockets: 1,
        ..UNLIMITED
    };
    let (mut b, _) = routed(limits);
    let conn = b.idle(1);
    b.effects.clear();
    let adopted = b.dial(2);
    assert_eq!(b.pool.adoption(adopted), Some(conn));
    assert_eq!(b.effects, []);

    // Who waits for a turn goes on with the connection that is checked in for it.
    assert_eq!(b.lease(1, 7, 0), Lease::Queued);
    assert_eq!(b.check_in(adopted, None, 0), CheckIn::Idle);
    let [Effect::Dial { conn, .. }] = b.effects[..] else {
        panic!("{:?}", b.effects);
    };
    assert_eq!(b.pool.adoption(conn), Some(adopted));

    // What is its user's alone makes room, and so does what was not used.
    for bound in [true, false] {
        let (mut b, _) = routed(limits);
        let conn = b.dial(1);
        if bound {
            b.pool.bind(conn);
        }
        assert_eq!(b.lease(2, 7, 0), Lease::Queued);
        let stay = if bound { Stay::Unlimited } else { Stay::Unused };
        let answer = b.pool.check_in(conn, stay, 0, &mut b.effects);
        assert_eq!(answer, CheckIn::Closed(CloseReason::Evicted));
    }
}
