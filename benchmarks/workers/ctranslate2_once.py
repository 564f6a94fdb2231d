"""One translation with CTranslate2, as a short program does it: FOLDER; the text is on standard input."""

import sys

import ctranslate2
import sentencepiece

translator = ctranslate2.Translator(sys.argv[1], device="cpu")
tokenizer = sentencepiece.SentencePieceProcessor(model_file=f"{sys.argv[1]}/tokenizer.model")
source = tokenizer.encode(sys.stdin.readline().strip(), out_type=str)
(found,) = translator.translate_batch([source], beam_size=1)
print(tokenizer.decode(found.hypotheses[0]))
