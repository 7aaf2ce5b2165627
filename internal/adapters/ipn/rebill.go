package ipn

// rebill is the list of a payment after the first. What Kartra's page shows of it is the sale's list; the rest is
// taken from there, too, without the trial.
// Source: https://support.kartra.com/support/solutions/articles/153000169510
func (f *form) rebill(p payment) {
	f.paid(p, p.GetOriginalOrderId(), func() {})
}
