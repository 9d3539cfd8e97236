"""What runs an encoder: torch, ONNX Runtime or OpenVINO, in full or in less precision, behind one interface.

Torch in float32 is the reference. Another runtime is admitted for a model only if it answered the rows held back as
well as the reference did (:mod:`models.runtimes.admission`); of those admitted the fastest on the machine at hand is
taken (:mod:`models.runtimes.choice`).
"""
