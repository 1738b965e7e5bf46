//! Types each line of the standard input with enigo's defaults, and writes a line when it has.

use std::io::{BufRead as _, Write as _};

use enigo::{Enigo, Keyboard as _, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut enigo = Enigo::new(&Settings::default())?;
    for line in std::io::stdin().lock().lines() {
        let said = match enigo.text(&line?) {
            Ok(()) => "typed".to_owned(),
            Err(error) => error.to_string(),
        };
        println!("{said}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
