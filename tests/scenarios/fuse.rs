//! Stops a process at a chosen point: before its n-th effect, after it, or has that effect happen
//! twice.
//!
//! A process whose fuse has blown gets no further answer from any port, so it can neither finish
//! what it was at nor tidy up behind itself: that is what `kill -9` does.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use greenroom::engine::Ports;
use greenroom::port::{PortError, PortResult};

/// Where it blows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    Before,
    After,
    /// It does not blow: the effect happens twice. Of a write to the database there is no such point.
    Twice,
    /// It does not blow: something else happens in the world right after the effect.
    Aside,
}

/// Whose effects are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    /// Those of the target alone: where each costs much, as with a real one.
    Cloud,
}

/// Whose effect it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Cloud,
    Other,
}

/// What becomes of an effect that is asked for twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// It may happen twice, as everything does that leaves this process.
    Repeatable,
    /// It happens once or not at all, as a transaction does.
    Atomic,
}

#[derive(Debug)]
struct State {
    seen: usize,
    blown: bool,
    repeatable: BTreeSet<usize>,
}

impl State {
    fn fresh() -> Mutex<Self> {
        Mutex::new(Self { seen: 0, blown: false, repeatable: BTreeSet::new() })
    }
}

/// What happens beside the process.
struct Aside(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aside")
    }
}

/// Counts effects and blows at one of them.
#[derive(Debug)]
pub(crate) struct Fuse {
    at: usize,
    point: Point,
    scope: Scope,
    aside: Option<Aside>,
    state: Mutex<State>,
}

impl Fuse {
    pub(crate) fn new(at: usize, point: Point) -> Arc<Self> {
        Self::within(Scope::Everything, at, point)
    }

    pub(crate) fn within(scope: Scope, at: usize, point: Point) -> Arc<Self> {
        Arc::new(Self { at, point, scope, aside: None, state: State::fresh() })
    }

    /// Never blows; right after the effect of that number, this happens.
    pub(crate) fn aside<F: Fn() + Send + Sync + 'static>(at: usize, what: F) -> Arc<Self> {
        let (point, scope, aside) = (Point::Aside, Scope::Everything, Some(Aside(Box::new(what))));
        Arc::new(Self { at, point, scope, aside, state: State::fresh() })
    }

    /// Never blows; counts.
    pub(crate) fn counter() -> Arc<Self> {
        Self::new(usize::MAX, Point::After)
    }

    pub(crate) fn seen(&self) -> usize {
        self.state.lock().expect("unpoisoned").seen
    }

    /// The numbers of the effects that may happen twice.
    pub(crate) fn repeatable(&self) -> BTreeSet<usize> {
        self.state.lock().expect("unpoisoned").repeatable.clone()
    }

    pub(crate) fn is_blown(&self) -> bool {
        self.state.lock().expect("unpoisoned").blown
    }

    /// The process dies now.
    pub(crate) fn blow(&self) {
        self.state.lock().expect("unpoisoned").blown = true;
    }

    fn alive(&self) -> PortResult<()> {
        if self.is_blown() { Err(PortError::Stale) } else { Ok(()) }
    }

    /// Before an effect; answers whether it is the chosen one.
    fn before(&self, part: Part, nature: Nature) -> PortResult<bool> {
        let mut state = self.state.lock().expect("unpoisoned");
        if state.blown {
            return Err(PortError::Stale);
        }
        if part == Part::Other && self.scope == Scope::Cloud {
            return Ok(false);
        }
        state.seen += 1;
        let number = state.seen;
        if nature == Nature::Repeatable {
            state.repeatable.insert(number);
        }
        let chosen = number == self.at;
        if chosen && self.point == Point::Before {
            state.blown = true;
            return Err(PortError::Stale);
        }
        Ok(chosen)
    }

    fn after<T>(&self, chosen: bool, result: PortResult<T>) -> PortResult<T> {
        if chosen && self.point == Point::After {
            self.blow();
        }
        if let Some(Aside(happens)) = self.aside.as_ref().filter(|_| chosen) {
            happens();
        }
        self.alive()?;
        result
    }
}

/// A port behind a fuse.
struct Fused<P: ?Sized> {
    port: Arc<P>,
    part: Part,
    fuse: Arc<Fuse>,
}

/// The same ports behind one fuse.
pub(crate) fn fused(ports: &Ports, fuse: &Arc<Fuse>) -> Ports {
    Ports {
        store: Arc::new(Fused { port: ports.store.clone(), part: Part::Other, fuse: fuse.clone() }),
        forge: Arc::new(Fused { port: ports.forge.clone(), part: Part::Other, fuse: fuse.clone() }),
        app: ports.app.clone().map(|port| {
            Arc::new(Fused { port, part: Part::Other, fuse: fuse.clone() }) as Arc<dyn greenroom::port::AppForge>
        }),
        cloud: Arc::new(Fused { port: ports.cloud.clone(), part: Part::Cloud, fuse: fuse.clone() }),
        builder: Arc::new(Fused { port: ports.builder.clone(), part: Part::Other, fuse: fuse.clone() }),
        clock: ports.clock.clone(),
    }
}

/// A read: answered while the process lives.
macro_rules! read {
    ($self:ident, $call:expr) => {{
        $self.fuse.alive()?;
        let result = $call.await;
        $self.fuse.alive()?;
        result
    }};
}

/// A write that can be asked for twice.
macro_rules! effect {
    ($self:ident, $call:expr) => {{
        let chosen = $self.fuse.before($self.part, Nature::Repeatable)?;
        if chosen && $self.fuse.point == Point::Twice {
            let _ = $call.await;
        }
        $self.fuse.after(chosen, $call.await)
    }};
}

/// A write to the database: it happens once or not at all, as transactions do.
macro_rules! write {
    ($self:ident, $call:expr) => {{
        let chosen = $self.fuse.before($self.part, Nature::Atomic)?;
        $self.fuse.after(chosen, $call.await)
    }};
}

#[path = "fuse_ports.rs"]
mod ports;
#[path = "fuse_records.rs"]
mod records;

/// Test binaries share this file, and each uses another part of it.
const _: () = {
    let _ = (Fuse::new, Fuse::within, Fuse::counter, Fuse::blow, Fuse::seen, Fuse::repeatable, Fuse::is_blown);
    let _ = (Fuse::aside::<fn()>, Point::Aside);
    let _ = (Scope::Everything, Scope::Cloud);
};
