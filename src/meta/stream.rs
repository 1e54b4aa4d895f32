//! A network that reads a sequence element by element, and knows by its states what it has read.

use super::model::Network;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::Weights;
use crate::plan::lower;
use crate::run::{Device, Session};

/// A sequence that goes on.
///
/// ```
/// use hyperloom::Device;
/// use hyperloom::meta::model::Network;
/// use hyperloom::meta::stream::Stream;
/// use hyperloom::net::{Cell, Net, Recurrent};
/// use hyperloom::rng::Rng;
/// use hyperloom::task::Likelihood;
/// let net = Net::rows([5, 1]).recurrent(Recurrent::new(Cell::Gru, 4)).dense(2);
/// let weights = net.layout().init(&mut Rng::new(0, 0));
/// let network = Network::of(net, Likelihood::values(10), weights)?;
/// let mut stream = Stream::new(&Device::Cpu, &network)?;
/// let (first, second) = (stream.next(&[0.5])?, stream.next(&[0.5])?);
/// assert_ne!(first, second);
/// // As in a sequence of five.
/// let whole = network.predict(&Device::Cpu, &[0.5, 0.5, 0.0, 0.0, 0.0])?;
/// assert!(whole[2..4].iter().zip(&second).all(|(a, b)| (a - b).abs() < 1e-5));
/// # Ok::<(), hyperloom::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    network: Network,
    /// A plan for each member.
    sessions: Vec<Session>,
    states: usize,
}

impl Stream {
    /// At the start of a sequence.
    ///
    /// # Errors
    /// [`Error::Shape`] naming a layer that looks at other elements than the one it is at, and those of the device.
    pub fn new(device: &Device, network: &Network) -> Result<Stream> {
        let net = network.spec.of_one_element().map_err(Error::Shape)?;
        let (layout, widths) = (net.layout(), net.states());
        let mut graph = Graph::new();
        let g = &mut graph;
        let flat = g.data("weights", &[1, layout.len()]);
        let x = g.data("x", &[1, 1, net.inputs()]);
        let states: Vec<_> = widths
            .iter()
            .enumerate()
            .map(|(i, width)| g.state(&format!("state {i}"), &[1, 1, *width]))
            .collect();
        let (y, next) = net.apply_from(g, Weights { flat, layout: &layout }, &states, x);
        g.output("prediction", y);
        for (state, next) in states.into_iter().zip(next) {
            g.update(state, next);
        }
        let prepare = |weights: &Vec<f32>| {
            let mut session = device.prepare(lower(&graph, device.caps(1))?)?;
            session.write("weights", weights)?;
            Ok(session)
        };
        let sessions = network.members.iter().map(prepare).collect::<Result<Vec<_>>>()?;
        Ok(Stream { network: network.clone(), sessions, states: widths.len() })
    }

    /// What the network says after the next element x.
    ///
    /// # Errors
    /// Those of the device.
    pub fn next(&mut self, x: &[f32]) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(self.sessions.len());
        for session in &mut self.sessions {
            session.write("x", x)?;
            session.run(1)?;
            all.push(session.read("prediction")?);
        }
        let each: Vec<&[f32]> = all.iter().map(|y| &y[..]).collect();
        Ok(self.network.mixture(&each))
    }

    /// Goes back to the start of a sequence.
    ///
    /// # Errors
    /// Those of the device.
    pub fn restart(&mut self) -> Result<()> {
        let widths = self.network.spec.states();
        for session in &mut self.sessions {
            for (i, width) in widths.iter().enumerate().take(self.states) {
                session.write(&format!("state {i}"), &vec![0.0; *width])?;
            }
        }
        Ok(())
    }
}
