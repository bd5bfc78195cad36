"""The only place that puts the parts together: it chooses the backends, and loops over the stages' ticks."""
