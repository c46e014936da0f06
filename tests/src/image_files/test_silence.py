import threading
import time
import warnings

import pytest

from src.image_files.silence import without_warnings


def test_warnings_are_kept_back_inside_alone():
    with without_warnings():
        warnings.warn("odd metadata", stacklevel=1)
    with pytest.warns(UserWarning, match="odd metadata"):
        warnings.warn("odd metadata", stacklevel=1)


def test_filters_are_put_back_whatever_happens():
    before = list(warnings.filters)
    with pytest.raises(OSError, match="broken"), without_warnings():
        raise OSError("broken")
    assert warnings.filters == before


def test_threads_wait_for_each_other():
    before, inside, most = list(warnings.filters), [], []
    start = threading.Barrier(4)

    def work():
        start.wait()
        for _ in range(20):
            with without_warnings():
                inside.append(1)
                time.sleep(0.0005)  # lets the others come
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert warnings.filters == before
