"""ALBERT in brightmart's layout for transformers: configuration and models.

It differs from transformers' AlbertModel in three places: layers are normalised before (preln) or
after (postln) the residual; word embeddings are projected to the hidden width inside the lookup, so
segment and position tables have that width; and the masked-word head goes back through the same
projection. This file needs torch and transformers only.
"""

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.models.albert.modeling_albert import AlbertForPreTrainingOutput

MASKED_LOGIT = -10000.0  # of the original


class BrightmartAlbertConfig(PretrainedConfig):
    """Sizes and variants of one model.

    `ln_type` is "preln" or "postln". `shared_type` says what all layers share: "all", "attention",
    "ffn" or "none". `final_layer_norm` says whether the output of the last layer is normalised.
    `hidden_act` may be "geglu", gelu_new with a gate; `position_embedding_type` "absolute" or
    "rotary"; `use_bias` is of the linear maps of layers; `residual_scale` multiplies what a
    sub-layer adds.
    """

    model_type = "albert_brightmart"

    def __init__(
        self,
        vocab_size=32000,
        embedding_size=128,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.1,
        max_position_embeddings=512,
        type_vocab_size=2,
        initializer_range=0.02,
        layer_norm_eps=1e-12,
        ln_type="preln",
        shared_type="all",
        final_layer_norm=False,
        position_embedding_type="absolute",
        use_bias=True,
        residual_scale=1.0,
        **others,
    ):
        """Takes the keys of `config.json`."""
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.classifier_dropout_prob = classifier_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.ln_type = ln_type
        self.shared_type = shared_type
        self.final_layer_norm = final_layer_norm
        self.position_embedding_type = position_embedding_type
        self.use_bias = use_bias
        self.residual_scale = residual_scale
        super().__init__(**others)


def _activation(config):
    return ACT2FN["gelu_new" if config.hidden_act == "geglu" else config.hidden_act]


class Embeddings(nn.Module):
    """Words, projected, plus segments and positions, normalised."""

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, config.embedding_size)
        self.projection = nn.Linear(config.embedding_size, width, bias=False)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        table = config.position_embedding_type == "absolute"
        self.position_embeddings = (
            nn.Embedding(config.max_position_embeddings, width) if table else None
        )
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids, token_type_ids, position_ids, inputs_embeds):
        """[B, S] ids, or [B, S, E] embedded words -> [B, S, D]."""
        words = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if token_type_ids is None:
            token_type_ids = torch.zeros(words.shape[:2], dtype=torch.long, device=words.device)
        embedded = self.projection(words) + self.token_type_embeddings(token_type_ids)
        if self.position_embeddings is not None:
            embedded = embedded + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(embedded))


def _rotation(position_ids, size):
    """Cosines and sines of [B or 1, S] positions, [B or 1, 1, S, H / 2] each."""
    speeds = 10000.0 ** (-torch.arange(0, size, 2, device=position_ids.device) / size)
    angles = position_ids[:, None, :, None].float() * speeds
    return angles.cos(), angles.sin()


def _rotated(heads, rotation):
    cosines, sines = (part.to(heads.dtype) for part in rotation)
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)


class Attention(nn.Module):
    """Self-attention, its residual and its norm."""

    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.before = config.ln_type == "preln"
        self.scale = config.residual_scale
        self.query = nn.Linear(width, width, bias=config.use_bias)
        self.key = nn.Linear(width, width, bias=config.use_bias)
        self.value = nn.Linear(width, width, bias=config.use_bias)
        self.dense = nn.Linear(width, width, bias=config.use_bias)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.weight_dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden, bias, rotation):
        """[B, S, D], [B, 1, 1, S] -> [B, S, D] and attention weights [B, N, S, S]."""
        inputs = self.LayerNorm(hidden) if self.before else hidden
        batch, length, width = inputs.shape

        def split(projected):
            return projected.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        query, key, value = (split(f(inputs)) for f in (self.query, self.key, self.value))
        if rotation is not None:
            query, key = _rotated(query, rotation), _rotated(key, rotation)
        logits = query @ key.transpose(2, 3) * (width // self.heads) ** -0.5 + bias
        weights = self.weight_dropout(logits.softmax(-1))
        context = (weights @ value).transpose(1, 2).reshape(batch, length, width)
        hidden = hidden + self.dropout(self.dense(context)) * self.scale
        return (hidden if self.before else self.LayerNorm(hidden)), weights


class FeedForward(nn.Module):
    """The feed-forward sub-layer, its residual and its norm."""

    def __init__(self, config):
        super().__init__()
        self.before = config.ln_type == "preln"
        self.scale = config.residual_scale
        sizes = (config.hidden_size, config.intermediate_size)
        self.intermediate = nn.Linear(*sizes, bias=config.use_bias)
        gated = config.hidden_act == "geglu"
        self.gate = nn.Linear(*sizes, bias=config.use_bias) if gated else None
        self.output = nn.Linear(*reversed(sizes), bias=config.use_bias)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation = _activation(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden):
        """[B, S, D] -> [B, S, D]."""
        inputs = self.LayerNorm(hidden) if self.before else hidden
        middle = self.activation(self.intermediate(inputs))
        if self.gate is not None:
            middle = middle * self.gate(inputs)
        hidden = hidden + self.dropout(self.output(middle)) * self.scale
        return hidden if self.before else self.LayerNorm(hidden)


class Encoder(nn.Module):
    """Sub-layers, shared or not, applied in turn."""

    def __init__(self, config):
        super().__init__()
        layers = config.num_hidden_layers
        own_attention = config.shared_type in ("ffn", "none")
        own_ffn = config.shared_type in ("attention", "none")
        self.attentions = nn.ModuleList(
            Attention(config) for _ in range(layers if own_attention else 1)
        )
        self.feed_forwards = nn.ModuleList(
            FeedForward(config) for _ in range(layers if own_ffn else 1)
        )
        self.layers = layers
        width = config.hidden_size
        rotary = config.position_embedding_type == "rotary"
        self.turned = width // config.num_attention_heads if rotary else 0
        norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.LayerNorm = norm if config.final_layer_norm else None

    def forward(self, hidden, bias, position_ids):
        """Returns the states before each layer and after the last, and attention weights."""
        states, weights = [hidden], []
        rotation = _rotation(position_ids, self.turned) if self.turned else None
        for layer in range(self.layers):
            attention = self.attentions[layer % len(self.attentions)]
            hidden, attended = attention(hidden, bias, rotation)
            hidden = self.feed_forwards[layer % len(self.feed_forwards)](hidden)
            states.append(hidden)
            weights.append(attended)
        if self.LayerNorm is not None:
            states[-1] = self.LayerNorm(hidden)
        return states, weights


class BrightmartAlbertPreTrainedModel(PreTrainedModel):
    """What all classes share."""

    config_class = BrightmartAlbertConfig
    base_model_prefix = "albert"

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


class BrightmartAlbertModel(BrightmartAlbertPreTrainedModel):
    """The encoder with its pooler, if it is asked for."""

    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        width = config.hidden_size
        self.pooler = nn.Linear(width, width) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self):
        """The word table."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value):
        """Replaces the word table."""
        self.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        inputs_embeds=None,
        output_hidden_states=False,
        output_attentions=False,
        **_,
    ):
        """Arguments and outputs of transformers' AlbertModel."""
        if position_ids is None:
            given = input_ids if inputs_embeds is None else inputs_embeds
            position_ids = torch.arange(given.shape[1], device=given.device)[None]
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        if attention_mask is None:
            attention_mask = torch.ones(embedded.shape[:2], device=embedded.device)
        bias = (1.0 - attention_mask.to(embedded.dtype)) * MASKED_LOGIT
        states, weights = self.encoder(embedded, bias[:, None, None, :], position_ids)
        pooled = torch.tanh(self.pooler(states[-1][:, 0])) if self.pooler else None
        return BaseModelOutputWithPooling(
            last_hidden_state=states[-1],
            pooler_output=pooled,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(weights) if output_attentions else None,
        )


class MaskedWordHead(nn.Module):
    """Scores of all pieces; words and projection are the embeddings' own."""

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.activation = _activation(config)

    def forward(self, hidden, embeddings):
        """[..., D] -> [..., V]."""
        hidden = self.LayerNorm(self.activation(self.dense(hidden)))
        hidden = hidden @ embeddings.projection.weight
        return nn.functional.linear(hidden, embeddings.word_embeddings.weight, self.bias)


class SentenceOrderHead(nn.Module):
    """Scores [in order, swapped]."""

    def __init__(self, config):
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled):
        """[B, D] -> [B, 2]."""
        return self.classifier(self.dropout(pooled))


def _loss(logits, labels, problem=None):
    if problem == "regression":
        return nn.functional.mse_loss(logits.squeeze(), labels.squeeze())
    if problem == "multi_label_classification":
        return nn.functional.binary_cross_entropy_with_logits(logits, labels)
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))


class BrightmartAlbertForPreTraining(BrightmartAlbertPreTrainedModel):
    """Both heads of pre-training."""

    def __init__(self, config):
        super().__init__(config)
        self.albert = BrightmartAlbertModel(config)
        self.predictions = MaskedWordHead(config)
        self.sop_classifier = SentenceOrderHead(config)
        self.post_init()

    def forward(self, input_ids=None, labels=None, sentence_order_label=None, **inputs):
        """Arguments and outputs of transformers' AlbertForPreTraining."""
        outputs = self.albert(input_ids, **inputs)
        words = self.predictions(outputs.last_hidden_state, self.albert.embeddings)
        order = self.sop_classifier(outputs.pooler_output)
        loss = None
        if labels is not None and sentence_order_label is not None:
            loss = _loss(words, labels) + _loss(order, sentence_order_label)
        return AlbertForPreTrainingOutput(
            loss=loss,
            prediction_logits=words,
            sop_logits=order,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class BrightmartAlbertForMaskedLM(BrightmartAlbertPreTrainedModel):
    """The masked-word head alone."""

    def __init__(self, config):
        super().__init__(config)
        self.albert = BrightmartAlbertModel(config)
        self.predictions = MaskedWordHead(config)
        self.post_init()

    def forward(self, input_ids=None, labels=None, **inputs):
        """Arguments and outputs of transformers' AlbertForMaskedLM."""
        outputs = self.albert(input_ids, **inputs)
        logits = self.predictions(outputs.last_hidden_state, self.albert.embeddings)
        return MaskedLMOutput(
            loss=None if labels is None else _loss(logits, labels),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class _Classifier(BrightmartAlbertPreTrainedModel):
    pooled = True

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.albert = BrightmartAlbertModel(config, add_pooling_layer=self.pooled)
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _classify(self, kind, features, outputs, labels):
        logits = self.classifier(self.dropout(features))
        return kind(
            loss=None if labels is None else _loss(logits, labels, self.config.problem_type),
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class BrightmartAlbertForSequenceClassification(_Classifier):
    """A label, several, or a number for each text, from the pooled output."""

    def forward(self, input_ids=None, labels=None, **inputs):
        """Arguments and outputs of transformers' AlbertForSequenceClassification."""
        outputs = self.albert(input_ids, **inputs)
        return self._classify(SequenceClassifierOutput, outputs.pooler_output, outputs, labels)


class BrightmartAlbertForTokenClassification(_Classifier):
    """A label for each token."""

    pooled = False

    def forward(self, input_ids=None, labels=None, **inputs):
        """Arguments and outputs of transformers' AlbertForTokenClassification."""
        outputs = self.albert(input_ids, **inputs)
        return self._classify(TokenClassifierOutput, outputs.last_hidden_state, outputs, labels)


class BrightmartAlbertForQuestionAnswering(BrightmartAlbertPreTrainedModel):
    """Where in a text the answer to a question begins and ends."""

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.albert = BrightmartAlbertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(self, input_ids=None, start_positions=None, end_positions=None, **inputs):
        """Arguments and outputs of transformers' AlbertForQuestionAnswering."""
        outputs = self.albert(input_ids, **inputs)
        starts, ends = self.qa_outputs(outputs.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_loss(starts, start_positions) + _loss(ends, end_positions)) / 2
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=starts,
            end_logits=ends,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
