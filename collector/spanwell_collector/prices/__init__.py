"""What calls cost: the price list, pricing anew, processors by the hour, and the comparison with a provider's bill."""
