//! The driver for X11, with real windows that tell what they were typed.

mod desk;

use anyhow::{Result, bail};
use desk::{Desk, Kind, Window, corpus};
use wstream_typing::x11::X11;
use wstream_typing::Driver as _;

#[test]
fn types_the_corpus() -> Result<()> {
    let Some(desk) = Desk::raise(false)? else {
        return Ok(());
    };
    let mut wrong = Vec::new();
    let layouts = std::env::var("LAYOUTS").unwrap_or("us de".into());
    for kind in Kind::ALL {
        let mut window = Window::open(&desk, kind)?;
        for layout in layouts.split(' ') {
            desk.layout(layout)?;
            let mut driver = X11::open(&desk.session())?;
            for (name, text) in corpus()? { if std::env::var("ONLY").is_ok_and(|o| o != name) { continue; }
                let start = std::time::Instant::now();
                let typed = driver.type_text(&text);
                let took = start.elapsed();
                let held = window.holds(&text)?;
                println!("{layout} {} {name}: {typed:?} {took:?}", kind.name());
                if let Err(held) = held {
                    println!("WRONG {layout} {} {name}: {text:?} {held:?}", kind.name());
                    wrong.push(format!("{layout}, {}, {name}: {typed:?}: {text:?} became {held:?}", kind.name()));
                }
                window.clear(&desk)?;
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{} texts are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
    Ok(())
}
