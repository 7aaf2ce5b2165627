// Package payabltest is payabl.'s back office for tests: a stateful HTTP server that does what the vendor's published
// reference says, signatures and encodings included, and goes wrong on demand. It is written from that reference alone and
// shares no code with the adapter.
//
// Where the reference is silent it takes the reading that is hardest on a caller: dates are two hours ahead of UTC, a
// blocked request is kept as a failed transaction, the transaction by which an agreement ends carries nothing of the
// merchant's but the order id, and refunds have no name of their own.
//
//	POST /pay/backoffice/payment_preauthorize   reserves; with recurring_id=INIT, asks for a billing agreement
//	POST /pay/backoffice/payment_authorize      charges what recurring_id stands for
//	POST /pay/backoffice/payment_capture        payment_reversal, payment_refund, tx_diagnose
//	GET  /agreements/approve?token=…            where PayPal asks the buyer; so do /checkoutnow and /3ds
package payabltest
