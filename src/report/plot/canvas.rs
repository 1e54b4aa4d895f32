//! Drawing on an SVG page: lines, dots, rectangles and text at fractions of a pixel. `plotters` writes the
//! SVG; its own charts are not used, because they place points on whole pixels, lay legends over the data
//! and loop or overflow on ranges that a diverging run produces.

use crate::error::{Error, Result};
use crate::files::write_atomically;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plotters::prelude::{DrawingBackend, FontTransform, IntoFont, SVGBackend, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, ShapeStyle};
use std::path::Path;

/// Units of the SVG a pixel: the backend takes whole numbers only.
const UNITS: f64 = 10.0;
/// The backend divides the sizes of text by this.
const TEXT_FACTOR: f64 = 1.24;

// Okabe and Ito's palette, told apart also by colour-blind readers.
pub(super) const BLACK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
pub(super) const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
pub(super) const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
pub(super) const PURPLE: RGBColor = RGBColor(0xCC, 0x79, 0xA7);
pub(super) const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
pub(super) const SKY: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
pub(super) const WHITE: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
pub(super) const GREY: RGBColor = RGBColor(0x77, 0x77, 0x77);
pub(super) const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);

/// Colours of several lines of one kind, in order.
pub(super) const SERIES: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY];

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    pub(super) color: RGBColor,
    /// Pixels.
    pub(super) width: f64,
    /// Lengths of dash and gap in pixels, where it is not solid.
    pub(super) dash: Option<(f64, f64)>,
    /// 0 (invisible) to 1.
    pub(super) opacity: f64,
}

impl Pen {
    pub(super) fn new(color: RGBColor, width: f64) -> Pen {
        Pen { color, width, dash: None, opacity: 1.0 }
    }

    pub(super) fn dashed(self, dash: f64, gap: f64) -> Pen {
        Pen { dash: Some((dash, gap)), ..self }
    }

    pub(super) fn opacity(self, opacity: f64) -> Pen {
        Pen { opacity, ..self }
    }

    fn style(self) -> ShapeStyle {
        let stroke_width = (self.width * UNITS).round() as u32;
        ShapeStyle { color: self.color.mix(self.opacity), filled: true, stroke_width }
    }
}

/// Where text stands from its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// How text is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    /// Pixels.
    pub(super) size: f64,
    pub(super) color: RGBColor,
    pub(super) bold: bool,
    pub(super) align: Align,
    /// A quarter turn to the left, for descriptions of y axes.
    pub(super) upwards: bool,
}

impl Type {
    pub(super) fn new(size: f64, align: Align) -> Type {
        Type { size, color: BLACK, bold: false, align, upwards: false }
    }

    pub(super) fn color(self, color: RGBColor) -> Type {
        Type { color, ..self }
    }

    pub(super) fn bold(self) -> Type {
        Type { bold: true, ..self }
    }

    pub(super) fn upwards(self) -> Type {
        Type { upwards: true, ..self }
    }
}

/// A page in the making. The first error is kept until the end, so that drawing code need not pass it on.
pub(super) struct Canvas<'a> {
    backend: SVGBackend<'a>,
    error: Option<std::io::Error>,
    /// Elements that the backend has no call for; they lie above all others.
    further: String,
}

/// Makes a page of `width` by `height` pixels, lets `draw` fill it and writes it to `path`.
pub(super) fn page(path: &Path, width: f64, height: f64, draw: impl FnOnce(&mut Canvas)) -> Result<()> {
    let mut svg = String::new();
    let size = ((width * UNITS).ceil() as u32, (height * UNITS).ceil() as u32);
    let mut canvas =
        Canvas { backend: SVGBackend::with_string(&mut svg, size), error: None, further: String::new() };
    canvas.rect(0.0, 0.0, width, height, WHITE);
    draw(&mut canvas);
    let done = canvas.backend.present();
    canvas.keep(done);
    if let Some(source) = canvas.error.take() {
        return Err(Error::Io { path: path.to_path_buf(), action: "draw", source });
    }
    let further = std::mem::take(&mut canvas.further);
    drop(canvas);
    // The page is shown in pixels, though its units are finer. Quotes in text are escaped, so that nothing
    // but attributes can match here; attributes that say what holds anyway are a third of the file.
    let plain = format!(r#"<svg width="{}" height="{}""#, size.0, size.1);
    let (w, h) = (f64::from(size.0) / UNITS, f64::from(size.1) / UNITS);
    let scaled = format!(r#"<svg width="{w}" height="{h}" stroke-linejoin="round" stroke-linecap="round""#);
    let svg =
        svg.replacen(&plain, &scaled, 1).replace(r#" opacity="1""#, "").replace(r#" stroke="none""#, "");
    let svg = match svg.trim_end().strip_suffix("</svg>") {
        Some(start) if !further.is_empty() => format!("{start}{further}</svg>"),
        _ => svg,
    };
    write_atomically(path, svg.trim_end().as_bytes())
}

impl Canvas<'_> {
    /// A filled rectangle from its upper left corner.
    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: RGBColor) {
        let done = self.backend.draw_rect(
            unit(x, y),
            unit(x + width, y + height),
            &Pen::new(fill, 0.0).style(),
            true,
        );
        self.keep(done);
    }

    /// A picture at a place, of that height and width on the page: its own height and width, channels (1 or 3) and pixels.
    pub(super) fn picture(
        &mut self,
        x: f64,
        y: f64,
        [height, width]: [f64; 2],
        ([h, w], channels, pixels): ([usize; 2], usize, &[u8]),
    ) {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, w as u32, h as u32);
        encoder.set_color(if channels == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale });
        let done = encoder.write_header().and_then(|mut w| w.write_image_data(pixels));
        self.keep(done);
        let data = BASE64_STANDARD.encode(&file);
        let ((x, y), (width, height)) = (unit(x, y), unit(width, height));
        self.further += &format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>\n"
        );
    }

    /// A line through points, in pixels.
    pub(super) fn line(&mut self, points: &[(f64, f64)], pen: Pen) {
        if points.len() < 2 {
            return;
        }
        match pen.dash {
            None => self.stroke(points, pen),
            Some((dash, gap)) => {
                for piece in dashes(points, dash, gap) {
                    self.stroke(&piece, pen);
                }
            }
        }
    }

    fn stroke(&mut self, points: &[(f64, f64)], pen: Pen) {
        let mut units: Vec<_> = points.iter().map(|(x, y)| unit(*x, *y)).collect();
        units.dedup();
        let done = self.backend.draw_path(units, &pen.style());
        self.keep(done);
    }

    /// A filled dot.
    pub(super) fn dot(&mut self, (x, y): (f64, f64), radius: f64, fill: Pen) {
        let fill = Pen { width: 0.0, ..fill };
        let done = self.backend.draw_circle(unit(x, y), (radius * UNITS).round() as u32, &fill.style(), true);
        self.keep(done);
    }

    /// A circle.
    pub(super) fn ring(&mut self, (x, y): (f64, f64), radius: f64, pen: Pen) {
        let done = self.backend.draw_circle(unit(x, y), (radius * UNITS).round() as u32, &pen.style(), false);
        self.keep(done);
    }

    /// One line of text, centred on `y`.
    pub(super) fn text(&mut self, text: &str, x: f64, y: f64, how: Type) {
        let h = match how.align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let font = ("sans-serif", how.size * UNITS * TEXT_FACTOR).into_font();
        let font = if how.bold { font.style(FontStyle::Bold) } else { font };
        let font = if how.upwards { font.transform(FontTransform::Rotate270) } else { font };
        let style = TextStyle::from(font).color(&how.color).pos(Pos::new(h, VPos::Center));
        if text.is_empty() {
            return;
        }
        // Characters that XML does not allow at all, escaped or not.
        let legal = |c: char| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c };
        let text: String = text.chars().map(legal).collect();
        let done = self.backend.draw_text(&text, &style, unit(x, y));
        self.keep(done);
    }

    fn keep<E: std::error::Error>(&mut self, done: Result<(), E>) {
        if let Err(e) = done {
            self.error.get_or_insert(std::io::Error::other(e.to_string()));
        }
    }
}

/// Pixels to units; `as` takes what is out of range to the nearest that is not.
fn unit(x: f64, y: f64) -> (i32, i32) {
    ((x * UNITS).round() as i32, (y * UNITS).round() as i32)
}

/// The width of text in pixels, roughly: the reader's font is not known here.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.3,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '-' | '/' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.9,
        'A'..='Z' => 0.7,
        '\u{1100}'.. => 1.0,
        _ => 0.6,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// Text cut to a width in pixels, with an ellipsis where something is missing.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let mut cut = String::new();
    for c in text.chars() {
        cut.push(c);
        if text_width(&cut, size) > width - size {
            break;
        }
    }
    cut.pop();
    cut.trim_end().to_string() + "…"
}

/// Cuts a line into dashes.
fn dashes(points: &[(f64, f64)], dash: f64, gap: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let mut piece = vec![points[0]];
    let (mut on, mut left) = (true, dash);
    for pair in points.windows(2) {
        let ((mut x, mut y), (x1, y1)) = (pair[0], pair[1]);
        loop {
            let length = (x1 - x).hypot(y1 - y);
            // A length that is no number would never be used up.
            if length <= left || length.is_nan() {
                left -= length;
                if on {
                    piece.push((x1, y1));
                }
                break;
            }
            (x, y) = (x + (x1 - x) * left / length, y + (y1 - y) * left / length);
            if on {
                piece.push((x, y));
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![(x, y)];
            }
            on = !on;
            left = if on { dash } else { gap };
        }
    }
    if on && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}
