// Package ipn tells merchants: it renders instant payment notifications, signs them and delivers them.
//
// Render writes a notification as Kartra does, a form of the seven types sale, rebill, failed, refund,
// partial_refund, chargeback and cancellation; each type's list of variables is in the file of its name. Sender
// takes the rows that the deliveries projection wrote, renders what each tells from the streams as they were at its
// event, and sends it until the receiver has acknowledged it or the schedule is over.
//
// Which event is told as what is projection.IPNType's to say, and which endpoint hears of it the projection's.
package ipn

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "ledger.internal/ledger/api/proto/ledger/v1"
	"ledger.internal/ledger/internal/aggregate/country"
	"ledger.internal/ledger/internal/aggregate/endpoint"
	"ledger.internal/ledger/internal/aggregate/event"
	"ledger.internal/ledger/internal/aggregate/merchant"
	"ledger.internal/ledger/internal/aggregate/money"
	"ledger.internal/ledger/internal/aggregate/subscription"
	"ledger.internal/ledger/internal/projection"
)

// Notice is what a notification is rendered from. All of it is as of the event, so the same notice is rendered to
// the same bytes on every try and for ever.
type Notice struct {
	Event         event.Recorded
	Before, After subscription.State // the subscription just before the event and just after it
	Endpoint      endpoint.State     // as the notification found it: how to write, and the secret key
	Merchant      merchant.State
	Processor     string // who charges, in Kartra's words: "Stripe", "PayPal", …
}

// payPal has agreements where others have cards.
const payPal = "PayPal"

// Render writes a notice as Kartra's form. It fails for an event that is not told, and for an endpoint with a date
// zone that this machine does not know.
func Render(n Notice) (Body, error) {
	kind, orderID, told := projection.IPNType(n.Event.Event)
	if !told {
		return nil, fmt.Errorf("render: %T is not told", n.Event.GetKind())
	}
	if !n.After.Exists() {
		return nil, errors.New("render: the subscription does not exist")
	}
	zone, err := dateZone(n.Endpoint.Settings.GetDateZone())
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	f := &form{Notice: n, kind: kind, orderID: orderID, zone: zone}
	switch kind {
	case ledgerv1.IpnType_IPN_TYPE_SALE:
		f.sale(paymentOf(n.Event.Event))
	case ledgerv1.IpnType_IPN_TYPE_REBILL:
		f.rebill(paymentOf(n.Event.Event))
	case ledgerv1.IpnType_IPN_TYPE_FAILED:
		f.failed(n.Event.GetPaymentDeclined())
	case ledgerv1.IpnType_IPN_TYPE_REFUND, ledgerv1.IpnType_IPN_TYPE_PARTIAL_REFUND:
		f.refund(refundOf(n.Event.Event))
	case ledgerv1.IpnType_IPN_TYPE_CHARGEBACK:
		f.chargeback(n.Event.GetDisputeFundsWithdrawn())
	case ledgerv1.IpnType_IPN_TYPE_CANCELLATION:
		f.cancellation(n.Event.GetSubscriptionCancelled())
	default:
		return nil, fmt.Errorf("render: %s has no form", kind)
	}
	return f.body, nil
}

// dateZone reads an endpoint's zone. Kartra's documents say "EST" and nothing of summer time, so that is fixed.
func dateZone(name string) (*time.Location, error) {
	if name == "" || name == "EST" {
		return time.FixedZone("EST", -5*60*60), nil
	}
	if name == "Local" {
		return nil, errors.New("date zone Local depends on the machine")
	}
	return time.LoadLocation(name)
}

// form is a notification being written. Its methods are the stretches that the types' lists have in common.
type form struct {
	Notice
	kind    ledgerv1.IpnType
	orderID int64
	zone    *time.Location
	body    Body
}

// notAvailable is how Kartra writes a variable that is empty. A zero is not empty.
const notAvailable = "N/A"

func (f *form) add(key, value string) {
	if value == "" {
		value = notAvailable
	}
	f.body = append(f.body, Pair{key, value})
}

func (f *form) addInt(key string, n int64) { f.add(key, strconv.FormatInt(n, 10)) }

// plain reports whether the price is a one-time one without an initial payment. Kartra knows no subscription then:
// what belongs to one is N/A.
func (f *form) plain() bool {
	t := f.After.Terms()
	return t.GetKind() == ledgerv1.PriceKind_PRICE_KIND_ONE_TIME && t.GetInitial() == nil
}

func (f *form) ofSubscription(key, value string) {
	if f.plain() {
		value = notAvailable
	}
	f.add(key, value)
}

// typeName is a type in Kartra's words: "partial_refund".
func typeName(t ledgerv1.IpnType) string {
	return strings.ToLower(strings.TrimPrefix(t.String(), "IPN_TYPE_"))
}

func (f *form) order() { f.addInt("transaction_id", f.orderID) }

func (f *form) amounts(a *ledgerv1.Amounts) {
	f.add("transaction_full_amount", money.Format(a.GetFull()))
	f.add("transaction_base_amount", part(a, a.GetBase()))
	f.add("transaction_discount", part(a, a.GetDiscount()))
	f.add("transaction_shipping", part(a, a.GetShipping()))
	f.add("transaction_tax", part(a, a.GetTax()))
}

// part writes one part of a payment; one that is left out is a zero of the payment's currency.
func part(of *ledgerv1.Amounts, m *ledgerv1.Money) string {
	if m == nil {
		m = &ledgerv1.Money{CurrencyCode: of.GetFull().GetCurrencyCode()}
	}
	return money.Format(m)
}

func (f *form) dateAndType() {
	at := f.Event.Metadata.GetOccurredAt().AsTime().In(f.zone)
	f.add("transaction_date", at.Format(time.DateTime)+f.Endpoint.Settings.GetDateSuffix())
	f.add("transaction_type", typeName(f.kind))
}

func (f *form) parent(id int64) { f.addInt("transaction_parent_id", id) }

func (f *form) partners() {
	f.add("transaction_affiliate", f.After.Started.GetTracking().GetAffiliate())
	f.add("transaction_jv", f.After.Started.GetTracking().GetJv())
}

// subscriptionIDs tells PayPal's agreement for PayPal and our own id for all others: it is what the merchant finds
// in his account at PayPal. The method is the event's own; nil takes the one that the subscription has.
func (f *form) subscriptionIDs(method *ledgerv1.PaymentMethod) {
	id := f.After.Started.GetSubscriptionId()
	if method == nil {
		method = f.After.Method
	}
	if agreement := method.GetAgreementId(); f.Processor == payPal && agreement != "" {
		id = agreement
	}
	f.ofSubscription("transaction_subscription_id", id)
	f.ofSubscription("transaction_internal_subscription_id", strconv.FormatInt(f.After.Started.GetNumber(), 10))
}

func (f *form) payNumber(n uint32) {
	f.ofSubscription("transaction_subscription_pay_number", strconv.FormatUint(uint64(n), 10))
}

// card tells the digits of the card that the event used. PayPal shows none, whatever lies behind the agreement.
func (f *form) card(m *ledgerv1.PaymentMethod) {
	digits := m.GetLast4()
	if f.Processor == payPal {
		digits = ""
	}
	f.add("transaction_last_4_card_digits", digits)
}

// original is the subscription's first order: of an imported one, that of the system it comes from, which is the one
// that the receiver knows.
func (f *form) original(id int64) {
	if foreign := f.After.Import.GetForeignFirstOrderId(); foreign != "" {
		f.add("original_id", foreign)
		return
	}
	f.addInt("original_id", id)
}

func (f *form) quantity() {
	f.addInt("transaction_quantity", int64(max(f.After.Started.GetQuantity(), 1)))
}

func (f *form) product() {
	t := f.After.Terms()
	f.add("product_name", t.GetProductName())
	f.add("product_id", t.GetProductId())
	f.addInt("product_price_point", int64(t.GetPricePoint()))
}

// lead tells the buyer as he was known at the event.
func (f *form) lead() {
	b := f.After.Buyer
	f.add("lead_id", f.After.Started.GetBuyerId())
	f.add("lead_first_name", b.GetFirstName())
	f.add("lead_last_name", b.GetLastName())
	f.add("lead_email", b.GetEmail())
	f.add("lead_username", b.GetUsername())
	f.add("lead_phone_country_code", b.GetPhoneCountryCode())
	f.add("lead_phone_number", b.GetPhoneNumber())
	a := b.GetAddress()
	f.add("lead_address", a.GetLine())
	f.add("lead_city", a.GetCity())
	f.add("lead_zip", a.GetZip())
	f.add("lead_state", a.GetState())
	name, alpha3, _ := country.Lookup(a.GetCountryCode())
	f.add("lead_country", name)
	f.add("lead_country_code_2", a.GetCountryCode())
	f.add("lead_country_code_3", alpha3)
	f.add("lead_ip", b.GetIp())
}

// shipping tells where goods go; all of it is N/A when nothing is shipped.
func (f *form) shipping() {
	a := f.After.Buyer.GetShippingAddress()
	name, _, _ := country.Lookup(a.GetCountryCode())
	f.add("shipping_address", a.GetLine())
	f.add("shipping_city", a.GetCity())
	f.add("shipping_zip", a.GetZip())
	f.add("shipping_state", a.GetState())
	f.add("shipping_country", name)
}

// shippingCost is the payment's shipping once more: Kartra lists it in both places.
func (f *form) shippingCost(a *ledgerv1.Amounts) { f.add("shipping_cost", part(a, a.GetShipping())) }

func (f *form) secretKey() { f.add(secretKey, f.Endpoint.Settings.GetSecretKey()) }

func (f *form) tracking() {
	t := f.After.Started.GetTracking()
	f.add("vendor_tracking_id_1", t.GetId_1())
	f.add("vendor_tracking_id_2", t.GetId_2())
	f.add("vendor_tracking_link", t.GetLink())
}

// gdpr tells the buyer's consent; the date has a form of its own and no suffix.
func (f *form) gdpr() {
	b := f.After.Buyer
	status := int64(b.GetGdprStatus())
	if f.Merchant.GDPROff {
		status = 0
	}
	f.addInt("gdpr_lead_status", status)
	f.add("gdpr_lead_status_date", f.gdprDate(b.GetGdprStatusDate()))
	f.add("gdpr_lead_status_ip", b.GetGdprStatusIp())
	communications := int64(0)
	if b.GetGdprCommunications() {
		communications = 1
	}
	f.addInt("gdpr_lead_communications", communications)
}

func (f *form) gdprDate(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(f.zone).Format("02 Jan 2006 15:04:05")
}

func (f *form) processorAndCompany() {
	f.add("payment_processor_type", f.Processor)
	f.add("lead_company", f.After.Buyer.GetCompany())
	f.add("lead_sales_tax_id", f.After.Buyer.GetSalesTaxId())
}
