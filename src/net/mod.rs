//! Networks as values: a [`Net`] is a list of layers, residual and parallel branches among them, over rows of some shape.
//!
//! A layer is one file here and one row of the table in `layer.rs`. Weights are a flat vector, described by a [`ParamLayout`],
//! of one network or of one a task ([`Weights`]); a layer does not know which.
//!
//! ```
//! use hyperloom::net::Net;
//!
//! let net = Net::rows([2]).dense(40).relu().dense(40).relu().dense(1);
//! assert_eq!(net.layout().len(), 2 * 40 + 40 + 40 * 40 + 40 + 40 + 1);
//! let picture = Net::rows([28, 28, 1]).flatten().dense(64).tanh().dense(10);
//! assert_eq!((picture.inputs(), picture.outputs()), (784, 10));
//! ```

mod activation;
mod attention;
mod avg_pool;
mod batch_norm;
mod choices;
mod compression;
mod context;
mod conv;
mod conv_transpose;
mod dense;
mod embed;
mod first_version;
mod flatten;
mod global_pool;
mod group_norm;
mod hyper_lstm;
mod layer;
mod layer_norm;
mod layout;
mod log_softmax;
mod max_pool;
mod network;
mod nodes;
mod norm;
mod own;
mod parallel;
mod position;
mod presets;
mod recurrent;
mod reshape;
mod residual;
mod scale;
mod set_attention;
mod spatial;
mod stream;
mod variational;
mod weights;
mod window;

pub use activation::Pointwise;
pub use attention::Attention;
pub(crate) use attention::attend;
pub use avg_pool::AvgPool;
pub use batch_norm::{BatchNorm, Statistics};
pub use choices::choice_shares;
pub use compression::{Among, Compression, Numbers, Quantised};
pub use context::Context;
pub use conv::Conv;
pub use conv_transpose::ConvTranspose;
pub use dense::Dense;
pub use embed::{Embed, OneHot, Tied};
pub use flatten::Flatten;
pub use global_pool::GlobalPool;
pub use group_norm::GroupNorm;
pub use hyper_lstm::HyperLstm;
pub use layer::Layer;
pub(crate) use layer::{Correction, WatchedSequences, layers};
pub use layer_norm::LayerNorm;
pub use layout::{Init, Param, ParamLayout, ParamRole};
pub use log_softmax::LogSoftmax;
pub use max_pool::MaxPool;
pub(crate) use network::own_layers;
pub use network::{Head, Net, SupportRows};
pub use nodes::{Edge, Node, Nodes};
pub(crate) use norm::standardised;
pub use own::{LayerWeights, Own, OwnLayer};
pub use parallel::Parallel;
pub use position::{Places, Position};
pub use presets::preset;
pub use recurrent::{Cell, Recurrent};
pub use reshape::Reshape;
pub use residual::Residual;
pub use scale::Scale;
pub use set_attention::{AttentionPool, SetAttention};
pub use spatial::{Padding, Sizes};
pub use variational::Variational;
pub use weights::Weights;
