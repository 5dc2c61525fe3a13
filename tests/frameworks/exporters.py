"""Every loss through the exporters of others: ``python -m tests.frameworks.exporters [IREE|ONNX] [value|gradient] [loss ...]``.

Prints what differs from XLA. A loss runs in a process of its own with others, which is started anew where it crashes.
"""

import multiprocessing
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from tests.cases import LOSSES, case

FAULTS = ("refused", "wrong", "crash")


def program(name, what):
    """A function of arrays, and arrays: the mean loss of four examples, with its gradients where wanted."""
    subject = case(name)
    inputs = {n: a for n, a in subject.draw((4,)).items() if a is not None}
    floats = subject.floats(inputs)
    leaves, tree = jax.tree.flatten((floats, {n: a for n, a in inputs.items() if n not in floats}))

    def function(*leaves):
        floats, rest = jax.tree.unflatten(tree, leaves)

        def value(floats):
            return subject.loss(**{n: {**floats, **rest}[n] for n in inputs})

        return (value(floats),) if what == "value" else tuple(jax.tree.leaves(jax.value_and_grad(value)(floats)))

    return function, leaves


def by_iree(function, leaves):
    import iree.compiler
    import iree.runtime

    text = jax.jit(function, keep_unused=True).lower(*leaves).as_text()
    module = iree.compiler.compile_str(text, input_type="stablehlo", target_backends=["llvm-cpu"])

    def run():
        found = iree.runtime.load_vm_flatbuffer(module, driver="local-task")["main"](*map(np.asarray, leaves))
        return [np.asarray(a.to_host()) for a in (found if isinstance(found, list | tuple) else [found])]

    return run


def by_onnx(function, leaves):
    import jax2onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = jax2onnx.to_onnx(function, inputs=[jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return lambda: session.run(None, dict(zip(names, map(np.asarray, leaves), strict=True)))


EXPORTERS = {"IREE": by_iree, "ONNX": by_onnx}


def verdict(exporter, what, name, rtol=1e-5):
    """`right`, or what is not: refused (it does not translate or compile), wrong."""
    function, leaves = program(name, what)
    if any(jax.dtypes.issubdtype(getattr(a, "dtype", np.float32), jax.dtypes.prng_key) for a in leaves):
        return "refused"  # neither has a type for keys
    wanted = [np.asarray(a) for a in jax.jit(function)(*map(jnp.asarray, leaves))]
    jax.clear_caches()  # jax2onnx puts functions of its own in the place of jax's, and meets only what has not been traced before
    with warnings.catch_warnings(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as for their users
        warnings.simplefilter("ignore")
        try:
            run = EXPORTERS[exporter](function, leaves)
            found = run()
        except Exception:
            return "refused"
    return "right" if all(np.allclose(a, b, rtol=rtol, atol=rtol, equal_nan=True) for a, b in zip(found, wanted, strict=True)) else "wrong"


def _work(exporter, what, names, results):
    for name in names:
        results.put((name, verdict(exporter, what, name)))
    results.put((None, ""))


def verdicts(exporter, what, names):
    """Of each loss; one that ends its process is a crash."""
    found, left = {}, list(names)
    while left:
        results = multiprocessing.get_context("spawn").Queue()
        worker = multiprocessing.get_context("spawn").Process(target=_work, args=(exporter, what, left, results), daemon=True)
        worker.start()
        while True:
            try:
                name, said = results.get(timeout=2)
            except Exception:
                if worker.is_alive():
                    continue
                name, said = left[0], "crash"
            if name is None:
                break
            left.remove(name)
            found[name] = said
            print(exporter, what, name, said, flush=True)
            if said == "crash":
                break
        worker.join()
        if not left:
            break
    return found


def main(arguments):
    chosen = [a for a in arguments if a in LOSSES] or LOSSES
    for exporter in [a for a in arguments if a in EXPORTERS] or EXPORTERS:
        for what in [a for a in arguments if a in ("value", "gradient")] or ("value", "gradient"):
            found = verdicts(exporter, what, chosen)
            print(exporter, what, {said: sum(v == said for v in found.values()) for said in ("right", *FAULTS)})
            for said in FAULTS:
                print(" ", said, *(f"`{n}`" for n, v in found.items() if v == said))


if __name__ == "__main__":
    main(sys.argv[1:])
