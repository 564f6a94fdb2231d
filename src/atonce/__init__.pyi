"""The public names, each once: `atonce/__init__.py` reads here where a name comes from."""

from atonce.data.tokenizer import Tokenizer as Tokenizer
from atonce.decoding.beam import beam_search as beam_search
from atonce.decoding.classifier import Classification as Classification
from atonce.decoding.classifier import Classifier as Classifier
from atonce.decoding.hypothesis import Hypothesis as Hypothesis
from atonce.decoding.hypothesis import SpecialTokens as SpecialTokens
from atonce.decoding.image_reader import ImageReader as ImageReader
from atonce.decoding.load import load as load
from atonce.decoding.translation import Alternative as Alternative
from atonce.decoding.translation import Translation as Translation
from atonce.decoding.translator import Translator as Translator
from atonce.errors import AtonceError as AtonceError
from atonce.errors import DataError as DataError
from atonce.errors import DiskError as DiskError
from atonce.errors import FigureError as FigureError
from atonce.errors import RecipeError as RecipeError
from atonce.errors import RunError as RunError
from atonce.errors import TrainingError as TrainingError
from atonce.evaluation.scores import Scores as Scores
from atonce.evaluation.significance import PairedBootstrap as PairedBootstrap
from atonce.explain.api import heatmap as heatmap
from atonce.explain.context import Context as Context
from atonce.explain.context import context as context
from atonce.explain.image_heatmap import ImageHeatmap as ImageHeatmap
from atonce.explain.recording import AttentionRecord as AttentionRecord
from atonce.explain.recording import LayerAttention as LayerAttention
from atonce.explain.recording import recorded_attention as recorded_attention
from atonce.explain.text_heatmap import Heatmap as Heatmap
from atonce.measure.growth import Growth as Growth
from atonce.measure.growth import Law as Law
from atonce.measure.growth import growth as _growth
from atonce.measure.work_span import WorkSpan as WorkSpan
from atonce.measure.work_span import work_span as _work_span
from atonce.models.build import build_model as build_model
from atonce.models.config import ModelConfig as ModelConfig
from atonce.models.interface import Memory as Memory
from atonce.models.seq2seq import Seq2Seq as Seq2Seq
from atonce.runs.folder import RunFolder as RunFolder
from atonce.runs.recipe import Recipe as Recipe
from atonce.studies.comparison.compare import Comparison as Comparison
from atonce.studies.comparison.compare import compare as compare
from atonce.studies.demo import Demo as Demo
from atonce.studies.demo import demo as demo
from atonce.studies.distill import distill as distill
from atonce.studies.experiment import Evaluation as Evaluation
from atonce.studies.experiment import Experiment as Experiment
from atonce.studies.experiment import evaluate as evaluate
from atonce.studies.experiment import train as train
from atonce.studies.measurement.measurement import Measurement as Measurement
from atonce.studies.measurement.measurement import measure as _measure
from atonce.training.callbacks import Callback as Callback
from atonce.training.callbacks import TrainingEvent as TrainingEvent

class _Measure:
    """`atonce.measure`: a module that can be called, which no type can say; this is what it has."""

    Growth = Growth
    Law = Law
    WorkSpan = WorkSpan
    growth = staticmethod(_growth)
    work_span = staticmethod(_work_span)
    __call__ = staticmethod(_measure)

measure: _Measure
__version__: str
__all__: list[str]
