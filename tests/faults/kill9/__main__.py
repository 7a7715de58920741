"""`python -m tests.faults.kill9`: see `tests.faults.kill9.run`."""

import sys

from tests.faults.kill9.run import main

sys.exit(main())
