"""Texts that go in: documents to train on, labelled texts from files, tokens and words. It imports `base` and `plan`.

Reading order:

chronicle         the embedded generator of simple prose, whose exact entropy is known
metas             facts about prepared texts, for stages that only read them
text_files        reading plain text, JSON, CSV and Parquet files
labelled_texts    texts from files, each with a label
plan_from_texts   a plan whose levels are the labels of such texts
documents         a corpus as a stream of documents
tokens            tokenizer, blocks of tokens to train on, held-out documents, prompts
words             places and types of the words of a text
"""
