// The only TORCH_LIBRARY block: every schema, forward and backward. `needs`: a gradient that nobody
// wants is not computed but undefined.
#include <torch/library.h>

TORCH_LIBRARY(sgrpo, m) {
  // rewards and victim_score [P,G] f64, status [P,G] u8 (0 correct, 1 failed, 2 not judged, 3
  // nobody), may_inject [P] bool, gt_reward [P] f64; the latter three may be missing for when = 0.
  // when: 0 never, 1 all_fail, 2 where allowed. mode: 0 replace, 1 append. std: 0 none, 1 sample, 2
  // population. -> advantages [P,G+1] f64, victim [P] i32 (-1: none), kind [P] u8 (0 all_fail, 1
  // all_pass, 2 mixed, 3 nobody judged).
  m.def(
      "group_advantage(Tensor rewards, Tensor status, Tensor? victim_score, Tensor? may_inject, "
      "Tensor? gt_reward, int when, float min_spread, int mode, float fail_weight, bool smoothing, "
      "int std, float eps) -> (Tensor advantages, Tensor victim, Tensor kind)");

  // q [Tq,H,E], k and v [Tk,K,E]; table [S,6], cluster_begin [C+1] and cluster_members [S] i64 as
  // an AttentionPlan gives them, which has checked them. Accumulates in f32 (f64 for f64 inputs).
  m.def(
      "segment_attention(Tensor q, Tensor k, Tensor v, Tensor table, Tensor cluster_begin, Tensor "
      "cluster_members,"
      " float scale, bool causal) -> Tensor");
  m.def(
      "segment_attention_forward(Tensor q, Tensor k, Tensor v, Tensor table, float scale, bool "
      "causal)"
      " -> (Tensor out, Tensor lse)");
  m.def(
      "segment_attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor out, Tensor "
      "lse, Tensor table, Tensor cluster_begin, Tensor cluster_members,"
      " float scale, bool causal) -> (Tensor grad_q, Tensor grad_k, Tensor grad_v)");

  // hidden [M,D], weight [V,D], labels [M] i64, masked_ids [Z] i64. Logits are f32, sums f32 lanes
  // added up in f64.
  m.def(
      "linear_logprob(Tensor hidden, Tensor weight, Tensor labels, Tensor masked_ids, float "
      "temperature)"
      " -> (Tensor logprobs, Tensor entropy)");
  m.def(
      "linear_logprob_forward(Tensor hidden, Tensor weight, Tensor labels, Tensor masked_ids, "
      "float temperature,"
      " bool keep_logits) -> (Tensor logprobs, Tensor entropy, Tensor lse, Tensor logits)");
  m.def(
      "linear_logprob_backward(Tensor? grad_logprobs, Tensor? grad_entropy, Tensor hidden, Tensor "
      "weight,"
      " Tensor labels, Tensor masked_ids, Tensor entropy, Tensor lse, Tensor logits, float "
      "temperature, bool[2] needs)"
      " -> (Tensor grad_hidden, Tensor grad_weight)");

  // logits [B,V] f32, uniform [B] f64, masked_ids [Z] i64.
  m.def(
      "sample_tokens(Tensor logits, Tensor uniform, Tensor masked_ids, float temperature, float "
      "top_p, int top_k,"
      " bool greedy) -> (Tensor ids, Tensor logprobs, Tensor entropy)");

  // Layers of a block. x [N,D] or [T,heads,E]; computed in f32.
  m.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  m.def("rms_norm_forward(Tensor x, Tensor weight, float eps) -> (Tensor out, Tensor rstd)");
  m.def(
      "rms_norm_backward(Tensor grad, Tensor x, Tensor weight, Tensor rstd, bool needs_weight)"
      " -> (Tensor grad_x, Tensor grad_weight)");
  m.def("rotate(Tensor x, Tensor cos, Tensor sin, bool inverse) -> Tensor");
  m.def("swiglu(Tensor gate, Tensor up) -> Tensor");
  m.def(
      "swiglu_backward(Tensor grad, Tensor gate, Tensor up) -> (Tensor grad_gate, Tensor grad_up)");
}
