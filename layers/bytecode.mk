# Why: Lambda cannot write .pyc files into a layer, so without them every cold start compiles all
# modules again. `unchecked-hash`, because a layer's files get new times when they are unpacked, and
# bytecode that trusts times would be thrown away.
# What it must not do: leave bytecode that the function's interpreter cannot load, or a path of the
# building machine in it.

PYTHON ?= python3
LAYER_PYTHON_VERSION ?= 3.13

# $(call compile_bytecode,<folder that becomes /opt/python>)
define compile_bytecode
	@building=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	if [ "$$building" = "$(LAYER_PYTHON_VERSION)" ]; then \
	  PYTHONHASHSEED=0 $(PYTHON) -m compileall -q -f --invalidation-mode unchecked-hash \
	    -s "$(1)" -p /opt/python "$(1)"; \
	else \
	  echo "No bytecode: this is Python $$building, the layer is for $(LAYER_PYTHON_VERSION)." \
	    "Cold starts will be slower."; \
	fi
endef
