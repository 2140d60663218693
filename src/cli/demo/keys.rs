//! Single keys from the terminal, without Enter and without an echo.
//!
//! Guarantees: the terminal is as before when this is dropped; Ctrl-C stays a signal.

use std::io::{self, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// The keyboard.
pub(super) struct Keys {
    typed: mpsc::UnboundedReceiver<char>,
    before: Termios,
}

impl Keys {
    /// `None` where standard input is no terminal.
    pub(super) fn open() -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?;
        let (sender, typed) = mpsc::unbounded_channel();
        // A thread of its own: nothing can end a read of a terminal, and the program must not wait
        // for it when it ends.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let mut stdin = io::stdin().lock();
            let mut byte = [0];
            while let Ok(1) = stdin.read(&mut byte) {
                if sender.send(char::from(byte[0])).is_err() {
                    return;
                }
            }
        })?;
        Ok(Some(Self { typed, before }))
    }

    /// The next key; `None` when the terminal is gone.
    pub(super) async fn next(&mut self) -> Option<char> {
        self.typed.recv().await
    }

    /// Forgets what was typed while nobody asked.
    pub(super) fn forget(&mut self) {
        while self.typed.try_recv().is_ok() {}
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
