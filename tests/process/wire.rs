//! A wire between a server and its database that a test may cut: nothing comes through any more, and
//! nobody is told so, as when a host or a network is gone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A port that leads to another, as long as it is not cut.
pub(crate) struct Wire {
    pub(crate) port: u16,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    is_cut: AtomicBool,
}

impl Wire {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), line: Arc::default() };
        let line = Arc::clone(&wire.line);
        // It ends with the test's process.
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                line.carry([near.try_clone().unwrap(), far.try_clone().unwrap()], false);
                line.carry([far, near], true);
            }
        });
        wire
    }

    /// From now on the database hears what it is asked, and its answers are lost.
    pub(crate) fn cut(&self) {
        self.line.is_cut.store(true, Ordering::SeqCst);
    }

    /// New connections come through again; those that lost an answer stay silent.
    pub(crate) fn mend(&self) {
        self.line.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Line {
    /// Carries what comes from one end to the other; answers only while the wire is whole.
    fn carry(self: &Arc<Self>, [mut from, mut to]: [TcpStream; 2], are_answers: bool) {
        let line = Arc::clone(self);
        thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                if are_answers && line.is_cut.load(Ordering::SeqCst) {
                    // What was lost stays lost, also when others come through again.
                    thread::sleep(Duration::from_secs(300));
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _gone = to.shutdown(Shutdown::Both);
        });
    }
}
