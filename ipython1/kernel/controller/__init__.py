"""The controller: engines, a queue for each, and the interfaces through which clients use them."""
