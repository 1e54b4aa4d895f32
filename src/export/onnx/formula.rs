//! Formulas as nodes: those of `export::functions`, read a function at a time.

use super::proto::{self, BOOL, FLOAT};
use super::writer::Writer;
use crate::export::functions::formula_of;

/// Functions that are one node, or a few.
const NODES: &[(&str, &str)] = &[
    ("exponential", "Exp"),
    ("logarithm", "Log"),
    ("root", "Sqrt"),
    ("sine", "Sin"),
    ("cosine", "Cos"),
    ("tanh", "Tanh"),
    ("size", "Abs"),
    ("whole", "Floor"),
    ("nearest", "Round"),
    ("larger", "Max"),
    ("sigmoid", "Sigmoid"),
    ("softplus", "Softplus"),
];

impl Writer<'_> {
    /// The value of a formula in which names stand for values.
    pub(super) fn formula(&mut self, text: &str, bound: &[(&str, String)]) -> String {
        let mut reader = Reader { rest: text, bound, writer: self };
        let value = reader.sum();
        debug_assert!(reader.rest.trim().is_empty(), "'{}' is left of '{text}'", reader.rest);
        value
    }

    fn call(&mut self, name: &str, arguments: Vec<String>) -> String {
        if let Some((_, op)) = NODES.iter().find(|n| n.0 == name) {
            return self.node(op, &arguments, &[]);
        }
        match name {
            "less" => self.comparison("Less", &arguments),
            "equal" => self.comparison("Equal", &arguments),
            "not_less" => self.comparison("GreaterOrEqual", &arguments),
            "choose" => self.choice(&arguments),
            "leaky_relu" => self.node("LeakyRelu", &arguments, &[proto::float("alpha", 0.01)]),
            "silu" => {
                let share = self.node("Sigmoid", &arguments, &[]);
                self.node("Mul", &[arguments[0].clone(), share], &[])
            }
            "is_finite" => {
                let nan = self.node("IsNaN", &arguments, &[]);
                let infinite = self.node("IsInf", &arguments, &[]);
                let either = self.node("Or", &[nan, infinite], &[]);
                let neither = self.node("Not", &[either], &[]);
                self.node("Cast", &[neither], &[proto::int("to", FLOAT)])
            }
            name => {
                let (parameters, text) =
                    formula_of(name).unwrap_or_else(|| panic!("{name} is a function of `functions`"));
                let bound: Vec<(&str, String)> = parameters.iter().copied().zip(arguments).collect();
                self.formula(text, &bound)
            }
        }
    }

    /// 1 where a comparison holds, else 0.
    pub(super) fn comparison(&mut self, op: &str, of: &[String]) -> String {
        let holds = self.node(op, of, &[]);
        self.node("Cast", &[holds], &[proto::int("to", FLOAT)])
    }

    /// The second where the first is not 0, else the third.
    pub(super) fn choice(&mut self, of: &[String]) -> String {
        let holds = self.node("Cast", &of[..1], &[proto::int("to", BOOL)]);
        self.node("Where", &[holds, of[1].clone(), of[2].clone()], &[])
    }
}

struct Reader<'t, 'w, 'g> {
    rest: &'t str,
    bound: &'t [(&'t str, String)],
    writer: &'w mut Writer<'g>,
}

impl<'t> Reader<'t, '_, '_> {
    fn next_is(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        let is = self.rest.starts_with(c);
        if is {
            self.rest = &self.rest[c.len_utf8()..];
        }
        is
    }

    fn sum(&mut self) -> String {
        self.chain([('+', "Add"), ('-', "Sub")], Self::product)
    }

    fn product(&mut self) -> String {
        self.chain([('*', "Mul"), ('/', "Div")], Self::factor)
    }

    /// Operands with signs between them, from the left.
    fn chain(&mut self, signs: [(char, &str); 2], operand: fn(&mut Self) -> String) -> String {
        let mut value = operand(self);
        while let Some((_, op)) = signs.iter().find(|(sign, _)| self.next_is(*sign)) {
            let next = operand(self);
            value = self.writer.node(op, &[value, next], &[]);
        }
        value
    }

    fn factor(&mut self) -> String {
        if self.next_is('-') {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
                let value = self.number();
                return self.writer.number(-value);
            }
            let value = self.factor();
            return self.writer.node("Neg", &[value], &[]);
        }
        if self.next_is('(') {
            let value = self.sum();
            self.next_is(')');
            return value;
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            let value = self.number();
            return self.writer.number(value);
        }
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        if !self.next_is('(') {
            let found = self.bound.iter().find(|b| b.0 == name);
            return found.unwrap_or_else(|| panic!("'{name}' is a parameter")).1.clone();
        }
        let mut arguments = vec![self.sum()];
        while self.next_is(',') {
            arguments.push(self.sum());
        }
        self.next_is(')');
        self.writer.call(name, arguments)
    }

    fn word(&mut self, of: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn number(&mut self) -> f32 {
        let end = crate::export::functions::number_length(self.rest);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.parse().unwrap_or(f32::NAN)
    }
}
