package projection

// Views are the projections that queries read; their rows live in the views store.
func Views() []Projection {
	return []Projection{Orders(), PayNumbers(), InDoubt(), Subscriptions(), Journal()}
}

// Work are the projections that workers read; their rows live in the work store.
func Work() []Projection {
	return []Projection{Timers(), Deliveries(), Connections()}
}
