//! What the machine wants done, in the order it must be done: commits, then what depends on them.

use std::collections::VecDeque;
use std::net::IpAddr;

use dunlin_transport::{Address, Instant, Port};

use crate::change::Change;
use crate::command::Outcome;
use crate::event::{Event, LiveEvent};
use crate::id::RequestId;
use crate::need::{Need, NeedId};

/// One thing for the driver to do. Drained with [`crate::Server::poll_output`] after every
/// mutation until `Timeout` comes.
#[derive(Debug)]
pub enum Output {
    /// Make this durable. Commits come in the order of their numbers, without gaps, and each is
    /// durable only when all before it are.
    Commit(Box<Commit>),
    /// Send these bytes, not before commit `barrier` is durable.
    Transmit(Transmit),
    /// A question to the outside; [`crate::Server::handle_answer`] takes the answer.
    Need {
        /// To name in the answer.
        id: NeedId,
        /// The question.
        need: Need,
    },
    /// News that is told at once and kept by nobody.
    Event(LiveEvent),
    /// A request is over: for whoever waits for it, not before commit `barrier` is durable. The
    /// same news for everybody else is an event of that commit.
    Completed {
        /// Which.
        request: RequestId,
        /// How it ended.
        outcome: Outcome,
        /// The commit that must be durable first; zero for none.
        barrier: u64,
    },
    /// Nothing more to do until then, or until something is put in.
    Timeout(Option<Instant>),
}

/// What must become durable together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    /// Rising by one from commit to commit of this Server, from 1 in each run.
    pub number: u64,
    /// The facts, in order.
    pub changes: Vec<Change>,
    /// The news of these facts: one record of the event log.
    pub events: Vec<Event>,
}

/// A datagram that wants to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub to: Address,
    /// From which address of ours; `None` lets the system choose.
    pub local: Option<IpAddr>,
    /// By which door of ours.
    pub port: Port,
    /// The datagram.
    pub bytes: Vec<u8>,
    /// The commit that must be durable first; zero for none.
    pub barrier: u64,
}

/// Collects effects during one mutation. All changes of a mutation form one commit.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    number: u64,
    changes: Vec<Change>,
    events: Vec<Event>,
    /// The answer of a mutation that has put out nothing else: of most of them. It comes before what is in
    /// `after`, and does not wander through it.
    answer: Option<Transmit>,
    after: VecDeque<Output>,
}

impl Effects {
    /// A fact to be made durable; what is put out for it carries [`Self::barrier`].
    pub(crate) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// News to be logged.
    pub(crate) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Anything that needs no commit.
    pub(crate) fn live(&mut self, output: Output) {
        self.after.push_back(output);
    }

    /// A datagram that leaves.
    #[inline]
    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        if self.after.is_empty() && self.answer.is_none() {
            self.answer = Some(transmit);
        } else {
            self.live(Output::Transmit(transmit));
        }
    }

    /// The outcome of a request, told when commit `barrier` is durable.
    pub(crate) fn completed(&mut self, request: RequestId, outcome: Outcome, barrier: u64) {
        self.after.push_back(Output::Completed {
            request,
            outcome,
            barrier,
        });
    }

    /// What must be durable before an answer to this mutation may leave: the commit in the making,
    /// or nothing.
    pub(crate) fn barrier(&self) -> u64 {
        if self.changes.is_empty() && self.events.is_empty() {
            0
        } else {
            self.number + 1
        }
    }

    /// The last commit there is, the one in the making included. A request of ours carries this,
    /// so that it never overtakes an answer that waits for its commit.
    pub(crate) fn latest(&self) -> u64 {
        self.barrier().max(self.number)
    }

    /// The number of the commit that a change made now would be in.
    pub(crate) fn upcoming(&self) -> u64 {
        self.number + 1
    }

    /// The commit, if there is one; then the rest.
    #[inline]
    pub(crate) fn poll(&mut self) -> Option<Output> {
        if self.barrier() != 0 {
            self.number += 1;
            self.hold_back();
            return Some(Output::Commit(Box::new(Commit {
                number: self.number,
                changes: std::mem::take(&mut self.changes),
                events: std::mem::take(&mut self.events),
            })));
        }
        if let Some(transmit) = self.answer.take() {
            return Some(Output::Transmit(transmit));
        }
        self.after.pop_front()
    }

    /// What leaves in the mutation that makes a commit waits for it. CoAP acknowledges a separate
    /// response by itself, and what it says - the first value of an observation that is made again,
    /// when a notification overtakes the answer - may be in this commit.
    fn hold_back(&mut self) {
        if let Some(transmit) = &mut self.answer {
            transmit.barrier = transmit.barrier.max(self.number);
        }
        for output in &mut self.after {
            if let Output::Transmit(transmit) = output {
                transmit.barrier = transmit.barrier.max(self.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Failed;

    fn transmit(byte: u8) -> Transmit {
        Transmit {
            to: std::net::SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            local: None,
            port: Port::Coap,
            bytes: vec![byte],
            barrier: 0,
        }
    }

    #[test]
    fn datagrams_leave_in_order_and_all_wait_for_the_commit() {
        let mut effects = Effects::default();
        effects.transmit(transmit(1));
        effects.completed(
            RequestId::from_bits(1),
            Outcome::Failed(Failed::Cancelled),
            0,
        );
        effects.transmit(transmit(2));
        effects.change(Change::EndRequest(RequestId::from_bits(2)));
        assert!(matches!(effects.poll(), Some(Output::Commit(_))));
        let mut left = Vec::new();
        while let Some(output) = effects.poll() {
            left.push(match output {
                Output::Transmit(transmit) => Some((transmit.bytes[0], transmit.barrier)),
                _ => None,
            });
        }
        assert_eq!(left, [Some((1, 1)), None, Some((2, 1))]);
    }

    #[test]
    fn what_depends_on_a_commit_comes_after_it_and_names_it() {
        let mut effects = Effects::default();
        let request = RequestId::from_bits(1);
        assert_eq!(effects.barrier(), 0);
        effects.change(Change::EndRequest(request));
        assert_eq!(effects.barrier(), 1);
        effects.completed(
            request,
            Outcome::Failed(Failed::Cancelled),
            effects.barrier(),
        );
        effects.change(Change::EndRequest(RequestId::from_bits(2)));
        let Some(Output::Commit(commit)) = effects.poll() else {
            panic!("the commit is first")
        };
        assert_eq!((commit.number, commit.changes.len()), (1, 2));
        assert!(matches!(
            effects.poll(),
            Some(Output::Completed { barrier: 1, .. })
        ));
        assert!(effects.poll().is_none());
        assert_eq!((effects.barrier(), effects.latest()), (0, 1));
    }
}
