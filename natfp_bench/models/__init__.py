"""Language models and other sources of text: train or load them, sample texts, and score texts under them.

May import `base`, `plan` and `corpus`. In reading order:

    metas                            what is recorded about each source
    model, optimizers                what a training starts from
    compiled, loss, heldout          fused kernels; the loss of a batch; bits of held-out documents
    training_state, train            one training, and how it continues after an interruption
    vocabulary, sampler, sample      drawing texts, and their likelihood under the same sampler
    narrow                           fast decoding for narrow models on a CPU
    rewrite                          texts that another model rewrites
    checkpoint_files, probe,         models that exist already, on the Hub or in a folder, and what they must show
    checkpoint                       before anything is measured
    lm_eval_backend, lm_eval_scores  texts from lm-eval's backends; scores of capabilities by lm-eval's tasks
"""
