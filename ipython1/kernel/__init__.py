"""The parallel computing kernel: controller, engines and clients."""
