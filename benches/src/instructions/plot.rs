//! Bars side by side, as SVG.

use std::fmt::Write;

use crate::number;

/// A bar: its group's colour index and its value.
pub(crate) struct Bar {
    pub(crate) colour: &'static str,
    pub(crate) value: f64,
}

/// Bars that belong together.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// Groups with an axis of their own.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) groups: Vec<Group>,
}

/// Panels one below the other.
pub(crate) struct Plot {
    pub(crate) title: String,
    /// Colours and what they stand for.
    pub(crate) legend: Vec<(&'static str, &'static str)>,
    pub(crate) panels: Vec<Panel>,
}

/// All in pixels.
const WIDTH: f64 = 860.0;
const LEFT: f64 = 250.0;
/// Space for the number behind the longest bar.
const RIGHT: f64 = 80.0;
const BAR: f64 = 13.0;
const GAP: f64 = 10.0;
const LINE: f64 = 22.0;

impl Plot {
    /// The picture, as a file of its own.
    pub(crate) fn svg(&self) -> String {
        let mut body = String::new();
        let mut y = LINE;
        text(&mut body, (LINE, y), "class=\"title\"", &self.title);
        y += LINE;
        let mut x = LINE;
        for (colour, name) in &self.legend {
            rectangle(&mut body, (x, y - BAR + 2.0), BAR, colour);
            text(&mut body, (x + BAR + 6.0, y), "", name);
            // There is no measuring of text here: ample for every letter.
            x += name.chars().map(|_| 7.5).sum::<f64>() + BAR + 24.0;
        }
        for panel in &self.panels {
            y += 1.5 * LINE;
            text(&mut body, (LINE, y), "class=\"panel\"", &panel.title);
            y = panel.draw(&mut body, y + GAP);
        }
        let height = y + GAP;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\">\n\
             <style>text {{ font: 12px sans-serif; fill: #222 }} \
             .title {{ font-size: 16px; font-weight: bold }} .panel {{ font-weight: bold }}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }
}

impl Panel {
    /// Draws from `y` down and returns where it ends.
    fn draw(&self, body: &mut String, mut y: f64) -> f64 {
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let most = bars().map(|bar| bar.value).fold(1.0, f64::max);
        let per_unit = (WIDTH - LEFT - RIGHT) / most;
        for group in &self.groups {
            let height: f64 = group.bars.iter().map(|_| BAR).sum();
            let middle = y + height / 2.0 + 4.0;
            text(
                body,
                (LEFT - GAP, middle),
                "text-anchor=\"end\"",
                &group.name,
            );
            for bar in &group.bars {
                // Something is to be seen even of the smallest.
                let width = (bar.value * per_unit).max(1.0);
                rectangle(body, (LEFT, y), width, bar.colour);
                let end = (LEFT + width + 5.0, y + BAR - 2.0);
                text(body, end, "", &number(bar.value));
                y += BAR;
            }
            y += GAP;
        }
        y
    }
}

fn rectangle(body: &mut String, (x, y): (f64, f64), width: f64, colour: &str) {
    let height = BAR - 1.0;
    let _ = writeln!(
        body,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

/// `content` is written from (x, y) on.
fn text(body: &mut String, (x, y): (f64, f64), attributes: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{content}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::{Bar, Group, Panel, Plot};

    #[test]
    fn bars_are_as_long_as_their_values() {
        let bar = |value| Bar {
            colour: "#000",
            value,
        };
        let group = Group {
            name: "a < b".to_owned(),
            bars: vec![bar(1000.0), bar(500.0)],
        };
        let plot = Plot {
            title: String::new(),
            legend: vec![],
            panels: vec![Panel {
                title: String::new(),
                groups: vec![group],
            }],
        };
        let svg = plot.svg();
        assert!(svg.contains("width=\"530.0\""), "{svg}");
        assert!(svg.contains("width=\"265.0\""), "{svg}");
        assert!(svg.contains(">1,000<"), "{svg}");
        assert!(svg.contains(">a &lt; b<"), "{svg}");
    }
}
