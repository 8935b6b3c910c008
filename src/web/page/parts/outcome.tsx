export function OutcomeCard() {
  return null;
}
