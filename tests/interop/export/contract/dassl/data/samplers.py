from hidden_engine.data.samplers import RandomClassSampler, RandomDomainSampler, SeqDomainSampler, build_sampler

__all__ = ["RandomClassSampler", "RandomDomainSampler", "SeqDomainSampler", "build_sampler"]
